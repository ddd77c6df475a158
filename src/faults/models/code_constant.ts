/** Another constant. */
import ts from "typescript";
import { replace } from "../edit.ts";
import { sourceModel } from "./model.ts";

/** A number as the one that it stands for was written. */
function written(value: number, like: string): string {
  if (value < 0) return `(${value})`;
  return /^0x/i.test(like) && Number.isInteger(value) ? `0x${value.toString(16)}` : `${value}`;
}

export const codeConstant = sourceModel({
  name: "code.constant",
  about: "A number is one more or less, nothing, or twice as much; true is false, or false true.",
  mutate(node, source) {
    if (node.kind === ts.SyntaxKind.TrueKeyword) return [replace(node, source, "false")];
    if (node.kind === ts.SyntaxKind.FalseKeyword) return [replace(node, source, "true")];
    if (!ts.isNumericLiteral(node) || (ts.isPropertyAssignment(node.parent) && node.parent.name === node)) {
      return [];
    }
    const text = node.getText(source);
    const value = Number(text.replaceAll("_", ""));
    const others = new Set([value + 1, value - 1, 0, value * 2]);
    others.delete(value);
    return [...others].map((other) => replace(node, source, written(other, text)));
  },
});
