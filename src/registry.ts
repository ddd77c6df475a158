/** Where npm packages come from, as npm and Deno are told of it. */

/** Names the registry, if it is not the usual one. Deno files packages under the one that they came from, so whoever shares a cache has to know the same. */
export const REGISTRY_VARIABLE = "NPM_CONFIG_REGISTRY";

/** The registry that this process was told of, as part of another's environment. */
export function registryEnvironment(): Record<string, string> {
  const registry = Deno.env.get(REGISTRY_VARIABLE);
  return registry ? { [REGISTRY_VARIABLE]: registry } : {};
}
