/** True if this machine lets these tests build a driver's sandbox: it takes root, and more in some containers. */
export const confines: boolean = Deno.uid() === 0 &&
  new Deno.Command("unshare", {
    args: ["--mount", "--pid", "--net", "--fork", "mount", "--make-rprivate", "/"],
  })
    .outputSync().success;
