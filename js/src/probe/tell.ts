/** Tells of something once: what kind of thing it is, what the browser or the app says of it, and more. */
export type Tell = (kind: string, message: string, more?: object) => void;
