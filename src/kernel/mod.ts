/** The kernel's objects: `/dev/ring3`, claims, grants, and the control socket. The only importer of the FFI. */
export { type BlockPortRequest, type ChannelState, Claim, type GrantRequest, Ring3 } from "./claim.ts";
export { ControlSocket } from "./control_socket.ts";
export { check, ERRNO, KernelError } from "./errors.ts";
export { Grant, PIO_DATA, PIO_WORDS, WAIT_WORD } from "./grant.ts";
export { type GrantCalls, type Library, openLibrary } from "./library_unsafe.ts";
export { mapMemory, SharedMemory } from "./memory.ts";
export * as uapi from "./uapi.ts";
