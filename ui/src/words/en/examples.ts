/** The meaning of a limit on this machine, in a sentence. Figures come with their units. */
export const examples = {
  cpu: (cores: string) => `${cores}' worth of time, while nobody needs the computer.`,
  threadsAll: (cores: string) => `As many threads as there are cores: ${cores}.`,
  threads: (count: number, cores: string) =>
    count === 1
      ? `1 thread on ${cores}.`
      : `${count} threads on ${cores}. Another number than 1 holds from the engine's next start on.`,
  cpuInUse: (cores: string) => `${cores}' worth of time, while you use the computer.`,
  nothingInUse: "Nothing is computed while you use the computer.",
  capped: (limit: string) => `Never more than the limit above: ${limit}.`,
  gpu: (milliseconds: string) => `${milliseconds} of each second, in slices short enough to keep the desktop smooth.`,
  gpuInUse: (milliseconds: string) => `${milliseconds} of each second, while you use the computer.`,
  memory: (part: string, rest: string) => `${part}. ${rest} are never touched.`,
  memoryCpu: (part: string, rest: string) => `${part}, for models on the CPU. ${rest} are never touched.`,
  memoryBeside: (part: string) => `${part}. Models lie in GPU memory; this is for what passes through.`,
  noMemory: "No model can be loaded.",
  disk: (part: string) => `${part}, for models. What was used longest ago is deleted first.`,
  network: (minutes: string) => `Fetching a model of 4 GB takes about ${minutes}.`,
  networkUnlimited: "Models are fetched as fast as the line allows.",
  idleAfter: (time: string) => `After ${time} without keyboard or mouse you count as away.`,
  others: (load: string, most: string) => `When other programs use more than ${load}, GoGrid goes down to ${most}.`,
  othersStop: (load: string) => `When other programs use more than ${load}, GoGrid stops.`,
  othersOff: "Other programs' load is ignored.",
  temperature: (limit: string) => `Stops above ${limit}.`,
  temperatureNow: (now: string) => `Now: ${now}.`,
  temperatureOff: "Heat is left to the computer's own protection.",
  batteryNo: "Stops when the computer is unplugged.",
  batteryYes: "Goes on when the computer is unplugged, and drains its battery.",
  fullScreenStop: "Stops while a game, a film or a presentation fills the screen.",
  fullScreenIgnore: "Goes on while a program fills the screen.",
  programs: (names: string) => `Stops while ${names} runs.`,
  programsNone: "No program stops the work.",
  hours: (hours: string) => `${hours} a week.`,
  dailyHours: (time: string) =>
    `${time} of work a day at most, counted from midnight; then GoGrid stops until the next day.`,
  dailyHoursOff: "As many hours of a day as the other limits leave.",
  dailyEnergy: (energy: string) =>
    `${energy} a day at most, counted from midnight; then GoGrid stops until the next day. Contribution tells how it is counted.`,
  dailyEnergyOff: "As much energy as the other limits leave.",
  whenAlways: (most: string) => `At any hour; while you use the computer at most ${most}.`,
  whenIdle: (time: string) => `Starts ${time} after the last key or mouse movement.`,
  whenSchedule: (most: string) => `Only in the hours painted below; while you use the computer at most ${most}.`,
  whenIdleInSchedule: (time: string) =>
    `Only in the hours painted below, and ${time} after the last key or mouse movement.`,
};
