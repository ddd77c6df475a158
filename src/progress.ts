/** Tells the user that a long step begins. Short steps say nothing. */
export type Progress = (message: string) => void;

/** Progress as lines on stderr. */
export function progressOnStderr(): Progress {
  return (message) => console.error(`ring3: ${message}`);
}
