/** Errors of the kernel's calls, in one place. */

/** The errno values that `ring3.ko` and the calls below it give, x86-64 Linux. */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  ENXIO: 6,
  E2BIG: 7,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  ENOTTY: 25,
  ENOSPC: 28,
  EPIPE: 32,
  EOPNOTSUPP: 95,
  EALREADY: 114,
  EDQUOT: 122,
  EKEYREVOKED: 128,
} as const;

const WORDS: Record<number, string> = {
  [ERRNO.EPERM]: "not permitted",
  [ERRNO.ENOENT]: "there is none",
  [ERRNO.ENXIO]: "no such PCI device",
  [ERRNO.EBADF]: "closed",
  [ERRNO.EAGAIN]: "nothing yet",
  [ERRNO.ENOMEM]: "out of memory",
  [ERRNO.EACCES]: "permission denied; run it as root",
  [ERRNO.EFAULT]: "bad address",
  [ERRNO.EBUSY]: "in use",
  [ERRNO.EEXIST]: "exists already",
  [ERRNO.ENODEV]: "the device is gone, or not bound to ring3",
  [ERRNO.EINVAL]: "refused as invalid",
  [ERRNO.ENOTTY]: "not a call of this ring3.ko",
  [ERRNO.ENOSPC]: "no room",
  [ERRNO.EPIPE]: "the other side has closed",
  [ERRNO.EDQUOT]: "over the manifest's DMA quota",
  [ERRNO.EKEYREVOKED]: "the grant has been taken back",
};

/** A call that the kernel refused. */
export class KernelError extends Error {
  override name = "KernelError";
  /** Positive errno. */
  readonly errno: number;

  /** @param action What was tried, as in `Cannot claim 0000:00:10.0`. */
  constructor(action: string, errno: number, { detail = "" } = {}) {
    super(`${action}: ${detail || WORDS[errno] || `error ${errno}`}`);
    this.errno = errno;
  }
}

/** Passes a result on, or throws what it says went wrong. */
export function check(result: number, action: string, detail?: () => string): number {
  if (result < 0) throw new KernelError(action, -result, { detail: detail?.() });
  return result;
}
