/** A statement that is not there. */
import ts from "typescript";
import { quote } from "../edit.ts";
import { sourceModel } from "./model.ts";

/** Statements whose absence still leaves a program: declarations and returns do not. */
function canGo(node: ts.Node): boolean {
  if (ts.isThrowStatement(node) || ts.isBreakStatement(node) || ts.isContinueStatement(node)) return true;
  if (!ts.isExpressionStatement(node)) return false;
  const call = ts.isCallExpression(node.expression) ? node.expression.expression : undefined;
  return call?.kind !== ts.SyntaxKind.SuperKeyword;
}

export const codeRemoved = sourceModel({
  name: "code.removed",
  about: "A statement is missing: an assignment, a call, a throw, a break or continue.",
  published: "MINIX 3: elide an instruction; Nooks: NOP faults",
  mutate(node, source) {
    if (!canGo(node)) return [];
    const says = `${quote(node.getText(source))} was removed`;
    return [{ start: node.getStart(source), end: node.end, text: ";", says }];
  },
});
