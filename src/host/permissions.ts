/** Deno's permissions, and their end. */

/** All that there are. `import` is not in Deno's types yet. */
export const PERMISSIONS = ["read", "write", "net", "env", "run", "ffi", "sys", "import"] as const;

/** Gives up every permission for good: what is not granted now is denied without asking. */
export function revokePermissions(): void {
  for (const name of PERMISSIONS) Deno.permissions.revokeSync({ name } as Deno.PermissionDescriptor);
}
