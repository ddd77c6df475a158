/** A branch taken the other way. */
import ts from "typescript";
import { replace } from "../edit.ts";
import { sourceModel } from "./model.ts";

/** What decides a branch, if `node` is one. */
function conditionOf(node: ts.Node): ts.Expression | undefined {
  if (ts.isIfStatement(node) || ts.isWhileStatement(node) || ts.isDoStatement(node)) return node.expression;
  if (ts.isForStatement(node) || ts.isConditionalExpression(node)) return node.condition;
  return undefined;
}

export const codeInverted = sourceModel({
  name: "code.inverted",
  about: "A branch, or whether a loop goes on, is decided the other way.",
  published: "MINIX 3: invert the termination condition of a loop; Nooks: branch and loop faults",
  mutate(node, source) {
    const condition = conditionOf(node);
    return condition ? [replace(condition, source, `!(${condition.getText(source)})`)] : [];
  },
});
