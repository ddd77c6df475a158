/** Places of a driver's source at which a mutation can be made, found in its syntax tree. */
import ts from "typescript";

/** One change of one file's text. Everything else of it stays as it is, byte for byte. */
export interface Edit {
  /** Positions in the text, the end not included. */
  start: number;
  end: number;
  /** What comes there. */
  text: string;
  /** What that is, as in "`<` became `<=`". */
  says: string;
}

/** A change, and where. */
export interface Site extends Edit {
  /** Relative to the folder. */
  file: string;
  /** Counted from 1. */
  line: number;
}

/** Finds the changes that can be made to a node. */
export type Mutate = (node: ts.Node, source: ts.SourceFile) => Edit[];

/** Longest piece of source in what a change says. */
const LONGEST_QUOTE = 60;

/** A file's syntax tree, with parents. */
export function parse(file: string, text: string): ts.SourceFile {
  return ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
}

/** Source as it is quoted: one line of ASCII, not too long. */
export function quote(text: string): string {
  const line = text.replace(/\s+/g, " ").replace(/[^ -~]/g, "?");
  return `\`${line.length > LONGEST_QUOTE ? `${line.slice(0, LONGEST_QUOTE - 3)}...` : line}\``;
}

/** The change of a node to other text. */
export function replace(node: ts.Node, source: ts.SourceFile, text: string): Edit {
  const start = node.getStart(source);
  return { start, end: node.end, text, says: `${quote(node.getText(source))} became ${quote(text)}` };
}

/** What never runs: types, and where modules come from. */
function isNotCode(node: ts.Node): boolean {
  return ts.isTypeNode(node) || ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node) ||
    ts.isTypeParameterDeclaration(node) || ts.isImportDeclaration(node) ||
    (ts.isExportDeclaration(node) && node.moduleSpecifier !== undefined) ||
    (ts.canHaveModifiers(node) &&
      (ts.getModifiers(node) ?? []).some(({ kind }) => kind === ts.SyntaxKind.DeclareKeyword));
}

/** Every change that `mutate` finds in a file's code, in its order. */
export function sitesOf(file: string, text: string, mutate: Mutate): Site[] {
  const source = parse(file, text);
  const sites: Site[] = [];
  const visit = (node: ts.Node) => {
    if (isNotCode(node)) return;
    for (const edit of mutate(node, source)) {
      const line = source.getLineAndCharacterOfPosition(edit.start).line + 1;
      sites.push({ ...edit, file, line });
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return sites;
}

/** The text with a change made. */
export function apply(text: string, { start, end, text: other }: Edit): string {
  return text.slice(0, start) + other + text.slice(end);
}

/** What a file runs as, without comments; undefined if it is no TypeScript. */
function compiled(text: string): string | undefined {
  const { outputText, diagnostics = [] } = ts.transpileModule(text, {
    reportDiagnostics: true,
    compilerOptions: { target: ts.ScriptTarget.ESNext, module: ts.ModuleKind.ESNext, removeComments: true },
  });
  return diagnostics.length === 0 ? outputText : undefined;
}

/** Whether a change leaves TypeScript, and of another meaning to the compiler. */
export function matters(text: string, edit: Edit): boolean {
  const changed = compiled(apply(text, edit));
  return changed !== undefined && changed !== compiled(text);
}

/** Specifiers of the modules that a file imports or exports from. */
export function specifiersOf(file: string, text: string): string[] {
  return parse(file, text).statements.flatMap((statement) => {
    const from = ts.isImportDeclaration(statement) || ts.isExportDeclaration(statement)
      ? statement.moduleSpecifier
      : undefined;
    return from && ts.isStringLiteral(from) ? [from.text] : [];
  });
}

/** Names of the methods that a file calls, as `bar` in `device.bar(0, REG)`. */
export function methodsOf(file: string, text: string): Set<string> {
  const names = new Set<string>();
  const visit = (node: ts.Node) => {
    if (ts.isCallExpression(node) && ts.isPropertyAccessExpression(node.expression)) {
      names.add(node.expression.name.text);
    }
    ts.forEachChild(node, visit);
  };
  visit(parse(file, text));
  return names;
}

/** The class of driver that a file defines, `net` or `block`; undefined if it does not say so where it is looked for. */
export function driverClassOf(file: string, text: string): string | undefined {
  let found: string | undefined;
  const visit = (node: ts.Node) => {
    if (
      ts.isCallExpression(node) && ts.isIdentifier(node.expression) && node.expression.text === "defineDriver"
    ) {
      const [driver] = node.arguments;
      if (!driver || !ts.isObjectLiteralExpression(driver)) return;
      for (const member of driver.properties) {
        if (!ts.isPropertyAssignment(member) || member.name.getText() !== "class") continue;
        if (ts.isStringLiteral(member.initializer)) found = member.initializer.text;
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(parse(file, text));
  return found;
}
