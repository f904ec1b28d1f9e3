import { speak } from "../app-view/words";
import { Page } from "./page";
import { PREVIEW } from "./words";

speak(PREVIEW);
new Page(document.body);
