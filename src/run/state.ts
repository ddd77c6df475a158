/** Where ring3 keeps what is to outlast its processes. */

/** Root's; what is secret in it has a mode of its own, as the lab keeps there what drivers' users read. */
export const STATE_DIRECTORY = "/var/lib/ring3";

/** Reports of deaths, below a state directory. */
export function reportDirectory(state: string = STATE_DIRECTORY): string {
  return `${state}/reports`;
}
