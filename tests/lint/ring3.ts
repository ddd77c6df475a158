/**
 * The project's own lint rules: unsafe calls by file name, drivers that import nothing but their API, and
 * one importer of what is unsafe.
 */
import { dirname, resolve } from "node:path";

/** What gives raw memory or native code, of the `Deno` namespace. */
const UNSAFE = /^(dlopen|UnsafePointer\w*|UnsafeCallback|UnsafeFnPointer)$/;

/** The only file outside its own folder that a driver imports, in the tree. */
const API = "src/driver/mod.ts";
const UNSAFE_FILE = /_unsafe\.ts$/;

/** A package: whether the manifest names it is checked when the driver is compiled. */
const PACKAGE = /^(npm:)?@?[a-z0-9][^:]*$/;

/** The folder that may import unsafe files. */
const KERNEL = /\/src\/kernel\//;

/** The checkout and the folder of a driver, from one of its files. */
const DRIVER_FILE = /^(?<root>.*\/)drivers\/(?<name>[^/]+)\//;

/** What a file imports: the specifier, or undefined when it is computed. */
type OnImport = (specifier: string | undefined, node: Deno.lint.Node) => void;

/** A visitor of every form of import and re-export. */
function imports(found: OnImport): Deno.lint.LintVisitor {
  return {
    ImportDeclaration: (node) => found(node.source.value, node),
    ExportAllDeclaration: (node) => found(node.source.value, node),
    ExportNamedDeclaration(node) {
      if (node.source) found(node.source.value, node);
    },
    ImportExpression: (node) => found(literal(node.source), node),
    TSImportType: (node) => found(literal(argument(node)), node),
  };
}

/** `import("x")` as a type: its argument is a literal, or a type that holds one. */
function argument(node: Deno.lint.TSImportType): Deno.lint.Node {
  const given: Deno.lint.Node = node.argument;
  return given.type === "TSLiteralType" ? given.literal : given;
}

function literal(node: Deno.lint.Node): string | undefined {
  if (node.type === "Literal" && typeof node.value === "string") return node.value;
  if (node.type === "TemplateLiteral" && node.expressions.length === 0) return node.quasis[0].cooked;
  return undefined;
}

/** The name of a property, as `a.name` or `a["name"]`. */
function propertyName(node: Deno.lint.MemberExpression | Deno.lint.Property): string | undefined {
  const name = node.type === "MemberExpression" ? node.property : node.key;
  return !node.computed && name.type === "Identifier" ? name.name : literal(name);
}

/** `Deno`, or `globalThis.Deno` and its other names. */
function isDeno(node: Deno.lint.Node): boolean {
  if (node.type === "Identifier") return node.name === "Deno";
  return node.type === "MemberExpression" && node.object.type === "Identifier" &&
    /^(globalThis|self|window)$/.test(node.object.name) && propertyName(node) === "Deno";
}

const unsafeByName: Deno.lint.Rule = {
  create(context) {
    if (UNSAFE_FILE.test(context.filename)) return {};
    const report = (node: Deno.lint.Node, name: string) =>
      context.report({
        node,
        message: `Deno.${name} belongs in a file named *_unsafe.ts`,
        hint: "Put it there with the argument why it is sound, and export something safe.",
      });
    return {
      MemberExpression(node) {
        const name = propertyName(node);
        if (isDeno(node.object) && name !== undefined && UNSAFE.test(name)) report(node, name);
      },
      VariableDeclarator(node) {
        if (!node.init || !isDeno(node.init) || node.id.type !== "ObjectPattern") return;
        for (const property of node.id.properties) {
          const name = property.type === "Property" ? propertyName(property) : undefined;
          if (name !== undefined && UNSAFE.test(name)) report(property, name);
        }
      },
    };
  },
};

/** True for the file that drivers import, of the tree that a folder with drivers lies in. */
function isApi(target: string, root: string): boolean {
  const tree = target.endsWith(API) ? target.slice(0, -API.length) : undefined;
  return tree !== undefined && root.startsWith(tree);
}

const driverImports: Deno.lint.Rule = {
  create(context) {
    const place = DRIVER_FILE.exec(context.filename)?.groups;
    if (!place) return {};
    const own = `${place.root}drivers/${place.name}/`;
    return imports((specifier, node) => {
      const late = node.type === "ImportExpression";
      if (!late && specifier !== undefined && PACKAGE.test(specifier)) return;
      const relative = specifier !== undefined && /^\.\.?\//.test(specifier);
      const target = relative ? resolve(dirname(context.filename), specifier) : undefined;
      if (!late && target !== undefined && (isApi(target, place.root) || target.startsWith(own))) return;
      context.report({
        node,
        message: late
          ? "A driver imports with import statements, not with import()"
          : `A driver imports src/driver/mod.ts, files of its own folder and packages, not ${specifier}`,
        hint: "When the driver runs, nothing else is there.",
      });
    });
  },
};

const unsafeImports: Deno.lint.Rule = {
  create(context) {
    if (KERNEL.test(context.filename)) return {};
    return imports((specifier, node) => {
      if (specifier === undefined || !UNSAFE_FILE.test(specifier)) return;
      context.report({
        node,
        message: `Only src/kernel imports an unsafe file, such as ${specifier}`,
        hint: "Import what src/kernel makes of it.",
      });
    });
  },
};

const plugin: Deno.lint.Plugin = {
  // Linter plugins may have letters and hyphens only in their names.
  name: "ring",
  rules: {
    "unsafe-by-name": unsafeByName,
    "driver-imports": driverImports,
    "unsafe-imports": unsafeImports,
  },
};

export default plugin;
