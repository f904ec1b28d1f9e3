import { expect, test } from "vitest";
import { type Item, matching } from "../src/catalogue/item";

const item = (name: string, description = "", title = name): Item => ({
  name,
  title,
  summary: description,
  description,
  badges: [],
  trouble: "",
  tables: [],
  code: [],
});

const items = [item("add", "Add two numbers"), item("train", "Pretend to train", "Train a model")];

test.each([
  ["", ["add", "train"]],
  ["ADD", ["add"]],
  ["  numbers  two ", ["add"]],
  ["model pretend", ["train"]],
  ["add model", []],
])("%j finds %j", (query, names) => {
  expect(matching(items, query).map((each) => each.name)).toEqual(names);
});
