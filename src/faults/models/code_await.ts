/** A promise that nobody waits for. */
import ts from "typescript";
import { replace } from "../edit.ts";
import { sourceModel } from "./model.ts";

export const codeAwait = sourceModel({
  name: "code.await",
  about: "An await is missing: what follows does not wait, and has a promise where it had a value.",
  mutate(node, source) {
    return ts.isAwaitExpression(node) ? [replace(node, source, node.expression.getText(source))] : [];
  },
});
