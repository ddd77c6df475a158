/** A loop that goes on for one too many, or one too few. */
import ts from "typescript";
import { type Edit, replace } from "../edit.ts";
import { sourceModel } from "./model.ts";

/** The comparison that differs at the bound alone. */
const NEXT: Partial<Record<ts.SyntaxKind, string>> = {
  [ts.SyntaxKind.LessThanToken]: "<=",
  [ts.SyntaxKind.LessThanEqualsToken]: "<",
  [ts.SyntaxKind.GreaterThanToken]: ">=",
  [ts.SyntaxKind.GreaterThanEqualsToken]: ">",
};

/** The comparisons of a condition, also those that `&&` and `||` join. */
function comparisons(condition: ts.Expression | undefined): ts.BinaryExpression[] {
  if (condition && ts.isParenthesizedExpression(condition)) return comparisons(condition.expression);
  if (!condition || !ts.isBinaryExpression(condition)) return [];
  const { kind } = condition.operatorToken;
  if (kind === ts.SyntaxKind.AmpersandAmpersandToken || kind === ts.SyntaxKind.BarBarToken) {
    return [...comparisons(condition.left), ...comparisons(condition.right)];
  }
  return NEXT[kind] === undefined ? [] : [condition];
}

/** Where a loop counts from. */
function starts(loop: ts.ForStatement, source: ts.SourceFile): Edit[] {
  if (!loop.initializer || !ts.isVariableDeclarationList(loop.initializer)) return [];
  return loop.initializer.declarations.flatMap(({ initializer }) =>
    initializer && ts.isNumericLiteral(initializer)
      ? [replace(initializer, source, `${Number(initializer.text) + 1}`)]
      : []
  );
}

export const codeOffByOne = sourceModel({
  name: "code.offByOne",
  about: "A loop runs once more or once less than it should.",
  published: "Nooks: loop faults",
  mutate(node, source) {
    const loops = ts.isForStatement(node) ? node.condition : undefined;
    const condition = ts.isWhileStatement(node) || ts.isDoStatement(node) ? node.expression : loops;
    const bounds = comparisons(condition).map(({ operatorToken }) =>
      replace(operatorToken, source, NEXT[operatorToken.kind]!)
    );
    return ts.isForStatement(node) ? [...starts(node, source), ...bounds] : bounds;
  },
});
