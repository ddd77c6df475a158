/** Operands, or the first two arguments of a call, in each other's place. */
import ts from "typescript";
import { type Edit, quote } from "../edit.ts";
import { sourceModel } from "./model.ts";

/** Operators for which the order matters. */
const ORDERED: ReadonlySet<ts.SyntaxKind> = new Set([
  ts.SyntaxKind.MinusToken,
  ts.SyntaxKind.SlashToken,
  ts.SyntaxKind.PercentToken,
  ts.SyntaxKind.AsteriskAsteriskToken,
  ts.SyntaxKind.LessThanToken,
  ts.SyntaxKind.LessThanEqualsToken,
  ts.SyntaxKind.GreaterThanToken,
  ts.SyntaxKind.GreaterThanEqualsToken,
  ts.SyntaxKind.LessThanLessThanToken,
  ts.SyntaxKind.GreaterThanGreaterThanToken,
  ts.SyntaxKind.GreaterThanGreaterThanGreaterThanToken,
]);

/** The text of an operand, in parentheses where it could otherwise be taken apart. */
function operand(node: ts.Node, source: ts.SourceFile): string {
  const text = node.getText(source);
  return ts.isIdentifier(node) || ts.isLiteralExpression(node) || ts.isPropertyAccessExpression(node) ||
      ts.isElementAccessExpression(node) || ts.isCallExpression(node) || ts.isParenthesizedExpression(node)
    ? text
    : `(${text})`;
}

function change(from: ts.Node, to: ts.Node, options: { source: ts.SourceFile; text: string }): Edit {
  const { source, text } = options;
  const start = from.getStart(source);
  return {
    start,
    end: to.end,
    text,
    says: `${quote(source.text.slice(start, to.end))} became ${quote(text)}`,
  };
}

export const codeSwapped = sourceModel({
  name: "code.swapped",
  about: "Operands of an operator, or the first two arguments of a call, change places.",
  published:
    "MINIX 3: change the source or destination register of an instruction; Nooks: source and destination faults",
  mutate(node, source) {
    if (ts.isBinaryExpression(node) && ORDERED.has(node.operatorToken.kind)) {
      const operator = node.operatorToken.getText(source);
      const text = `${operand(node.right, source)} ${operator} ${operand(node.left, source)}`;
      return [change(node.left, node.right, { source, text })];
    }
    if (ts.isCallExpression(node) && node.arguments.length > 1) {
      const [first, second] = node.arguments;
      const text = `${second.getText(source)}, ${first.getText(source)}`;
      return [change(first, second, { source, text })];
    }
    return [];
  },
});
