// Made from crates/panel-api by its test `typescript`; do not edit.

/**
 * The state that every page shows. Sent at every change, and once a second while the window is open.
 */
export type AppState = { 
/**
 * What the tray's icon shows; the window has the same mark.
 */
mark: Mark, 
/**
 * The worker's process.
 */
worker: Process, 
/**
 * The worker's state; null while it does not answer.
 */
status: Status | null, 
/**
 * The app's own settings.
 */
settings: AppSettings, 
/**
 * What the donor should know about the app itself, such as a settings file that was set aside. For people.
 */
notices: Array<Notice>, 
/**
 * The app's version.
 */
version: string, 
/**
 * Where the machine's key is kept.
 */
key_store: KeyStore, 
/**
 * A newer version that can be installed.
 */
update: string | null, 
/**
 * A join code from a link that the donor opened; the page asks before it is used. Never sent anywhere else.
 */
offered_code: string | null, 
/**
 * How often the donor chose *Join…* in the tray since the window was opened: the page then shows where to join.
 */
join_asked: number, };

/**
 * The mark of the app's state: one shape and one colour each, the same in the tray and in the window. Both have them
 * from `icons/src/tray`.
 */
export type Mark = "not_joined" | "connecting" | "idle" | "working" | "throttled" | "paused" | "error";

/**
 * The worker's process, as the shell sees it.
 */
export type Process = { "process": "starting" } | { "process": "running", 
/**
 * Which program: `cpu` or `cuda`.
 */
build: string, 
/**
 * Why it is not the faster build, if that needs an explanation.
 */
fallback: string | null, } | { "process": "waiting", 
/**
 * Why it ended, for people.
 */
died: string, 
/**
 * Milliseconds until it is started again.
 */
retry_in_ms: number, 
/**
 * Ends since it last ran for a minute.
 */
times: number, } | { "process": "held", 
/**
 * What, for people.
 */
why: string, };

/**
 * Where the machine's key is kept.
 */
export type KeyStore = { "store": "opening" } | { "store": "system" } | { "store": "file" } | { "store": "unavailable", 
/**
 * Why, for people.
 */
why: string, 
/**
 * Whether trying again may help, as with a store that is locked.
 */
locked: boolean, };

/**
 * Something to know.
 */
export type Notice = { 
/**
 * The id that dismisses it.
 */
id: number, 
/**
 * For people.
 */
text: string, };

/**
 * The app's own settings.
 */
export type AppSettings = { 
/**
 * Whether the first run's three steps are done.
 */
welcomed: boolean, 
/**
 * Whether the app starts at login.
 */
autostart: boolean, 
/**
 * The machine's name; its host name when empty.
 */
machine_name: string, 
/**
 * Whether a file may hold the key where the key store cannot.
 */
key_file: boolean, 
/**
 * Notifications, each kind by itself.
 */
notify: Notify, };

/**
 * Which notifications are shown.
 */
export type Notify = { 
/**
 * The machine joined a grid.
 */
joined: boolean, 
/**
 * The coordinator revoked the machine.
 */
revoked: boolean, 
/**
 * The GPU is lost.
 */
gpu_lost: boolean, };

/**
 * Which lines of the log.
 */
export type LogFilter = { 
/**
 * Only lines with this text, in any case; all when empty.
 */
text: string, 
/**
 * The least severe level shown: `error`, `warn`, `info` or `debug`.
 */
level: string, 
/**
 * Whose log: `app` or `worker`.
 */
of: string, };

/**
 * A line of the log.
 */
export type LogLine = { 
/**
 * As written, in UTC.
 */
at: string, 
/**
 * `ERROR`, `WARN`, `INFO`, `DEBUG` or empty.
 */
level: string, 
/**
 * The rest.
 */
text: string, };

/**
 * The worker, now.
 */
export type Status = { 
/**
 * Its key in hexadecimal.
 */
id: string, 
/**
 * The machine's name.
 */
name: string, 
/**
 * What computes, as `--device` spells it.
 */
device: string, 
/**
 * What it does.
 */
state: State, 
/**
 * Why, in a sentence.
 */
reason: string, 
/**
 * Whether it pauses after the answers under way.
 */
pausing_after_answers: boolean, 
/**
 * Its connection to the coordinator; null before the machine has joined a grid.
 */
connection: Connection | null, 
/**
 * What the grid says of itself; null before it has said anything, and if its coordinator is an older program.
 */
about: GridAbout | null, 
/**
 * The grid that the machine left a moment ago and may go back to without a new code; null otherwise.
 */
left: LeftGrid | null, 
/**
 * The totals of the machine.
 */
machine: Machine, 
/**
 * What it may take now. `cpu` and `gpu` are in thousandths, memory in bytes.
 */
allowance: Allowance, 
/**
 * What it uses now.
 */
usage: Usage, 
/**
 * What the donor lends.
 */
limits: Array<Setting>, 
/**
 * Who manages this machine's settings; null if nobody does.
 */
managed_by: string | null, 
/**
 * The last sample of the machine; null before the first.
 */
sample: Sample | null, 
/**
 * Its stages.
 */
stages: Array<Stage>, 
/**
 * Sessions with a KV cache here, all stages together.
 */
sessions: number, 
/**
 * What it has done since it was started.
 */
contribution: Contribution, 
/**
 * The work of today, in the donor's time zone.
 */
today: Day, 
/**
 * The settings of the operating system that keep this program in the background.
 */
levers: Array<LeverState>, };

/**
 * A worker's state, in a word.
 */
export type State = "not_joined" | "connecting" | "idle" | "working" | "throttled" | "stopped" | "paused";

/**
 * The connection to the coordinator.
 */
export type Connection = { 
/**
 * The coordinator's key in hexadecimal.
 */
coordinator: string, 
/**
 * The grid's name, from its coordinator; empty before it is known.
 */
grid: string, 
/**
 * Whether the link is up.
 */
connected: boolean, 
/**
 * Why not, if known.
 */
problem: string | null, };

/**
 * A grid, as its operator describes it. Texts are empty where they have not said.
 */
export type GridAbout = { 
/**
 * Who runs it.
 */
owner: string, 
/**
 * Whom to ask.
 */
contact: string, 
/**
 * What it is for.
 */
purpose: string, 
/**
 * Its models and what they are for, a line each.
 */
models: Array<string>, 
/**
 * Answers that the whole grid has completed since midnight on the coordinator's clock.
 */
answers_today: number, 
/**
 * Where programs reach its API; null if its coordinator is an older program.
 */
api: GridApi | null, };

/**
 * The grid's API, as this machine reaches it.
 */
export type GridApi = { 
/**
 * Its base address; null if this machine does not reach it.
 */
url: string | null, 
/**
 * Whether only programs on the coordinator's machine reach it.
 */
local: boolean, };

/**
 * Whether questions bring along a key of the donor's.
 */
export type GridKey = "none" | "kept" | "until_end";

/**
 * A model of the grid.
 */
export type GridModel = { 
/**
 * Its name.
 */
name: string, 
/**
 * Whether it answers now.
 */
ready: boolean, };

/**
 * The models of the grid's API, and how it was asked.
 */
export type GridModels = { 
/**
 * The models.
 */
models: Array<GridModel>, 
/**
 * The donor's key for this grid.
 */
key: GridKey, };

/**
 * A chat that waits for its next answer.
 */
export type GridQuestion = { 
/**
 * The model's name.
 */
model: string, 
/**
 * The chat so far, oldest first.
 */
messages: Array<ChatMessage>, };

/**
 * One message.
 */
export type ChatMessage = { 
/**
 * Who wrote it.
 */
role: ChatRole, 
/**
 * What.
 */
text: string, };

/**
 * Who writes.
 */
export type ChatRole = "user" | "assistant";

/**
 * How an answer ended that did not fail.
 */
export type AnswerEnd = "whole" | "stopped";

/**
 * A grid that the machine left.
 */
export type LeftGrid = { 
/**
 * Its name; empty if it was never known.
 */
grid: string, 
/**
 * Until when the machine may go back, in milliseconds since 1970.
 */
until_ms: number, };

/**
 * What a join code says before it is used.
 */
export type CodeDetails = { 
/**
 * The grid's name when the code was made; empty in codes of older programs.
 */
grid: string, 
/**
 * The coordinator's key in hexadecimal.
 */
coordinator: string, 
/**
 * The coordinator's addresses, with ports.
 */
addresses: Array<string>, };

/**
 * The totals of which the limits are parts.
 */
export type Machine = { 
/**
 * Logical cores.
 */
cores: number, 
/**
 * Main memory, in bytes.
 */
memory: number | null, 
/**
 * The GPU that is lent.
 */
gpu_name: string | null, 
/**
 * Its memory, in bytes.
 */
gpu_memory: number | null, 
/**
 * The disk of the data folder, in bytes.
 */
disk: number | null, };

/**
 * What the worker uses; rates are over the last second.
 */
export type Usage = { 
/**
 * Part of all cores' time, between 0 and 1, as the system counts it for this process.
 */
cpu: number, 
/**
 * Part of the GPU's time, between 0 and 1, by our own accounting; null without a GPU.
 */
gpu: number | null, 
/**
 * Bytes reserved in the ledger.
 */
ledger_bytes: number, 
/**
 * Of those, weights.
 */
weights_bytes: number, 
/**
 * Of those, KV caches.
 */
kv_bytes: number, 
/**
 * Of those, workspace, the device's runtime, and frames that wait between links and stages.
 */
workspace_bytes: number, 
/**
 * The limit of the ledger, in bytes.
 */
limit_bytes: number, 
/**
 * Rows computed per second: every token of every stage here.
 */
tokens_per_second: number, 
/**
 * The most answers that were computed at once in the last second: those rows are theirs.
 */
answers: number, };

/**
 * One stage.
 */
export type Stage = { 
/**
 * The model's name.
 */
model: string, 
/**
 * First layer, and the one after the last.
 */
layers: [number, number], 
/**
 * Its pipeline's epoch.
 */
epoch: number, 
/**
 * Whether its weights are in memory.
 */
loaded: boolean, 
/**
 * Bytes of its weights.
 */
weights_bytes: number, 
/**
 * KV memory reserved by sessions, in bytes.
 */
kv_bytes: number, 
/**
 * Sessions with a KV cache.
 */
sessions: number, 
/**
 * Whether it waits for the machine that computes the next stage, which takes no frames now.
 */
blocked: boolean, };

/**
 * Work done since the worker was started.
 */
export type Contribution = { 
/**
 * Rows computed: every token of every stage counts once.
 */
tokens: number, 
/**
 * Slices of work.
 */
slices: number, 
/**
 * Slices, and tensors of a stage that was loaded, that had to wait for the limits.
 */
throttled: number, 
/**
 * Seconds in which a slice was computed.
 */
busy_seconds: number, 
/**
 * Seconds that slices waited for the limits.
 */
waited_seconds: number, 
/**
 * 99 % of the last minute's slices took no longer, in milliseconds of device time.
 */
slice_p99_ms: number, 
/**
 * The same of slices of several units; a single unit (a third of a layer, the head) cannot be cut.
 */
divisible_slice_p99_ms: number, 
/**
 * The longest of the last minute.
 */
longest_slice_ms: number, };

/**
 * One setting of the operating system.
 */
export type LeverState = { 
/**
 * What: `scheduling class`, `io priority`, ...
 */
name: string, 
/**
 * What it is now, or why it could not be set.
 */
result: { Ok: string } | { Err: string }, };

/**
 * A request to the worker.
 */
export type Request = { "request": "status" } | { "request": "follow", 
/**
 * Milliseconds between two, within [`FOLLOW_MS`].
 */
every_ms: number, } | { "request": "limits" } | { "request": "set", 
/**
 * Keys and values as `gogrid limits set` takes them.
 */
changes: Array<[string, string]>, } | { "request": "preset", 
/**
 * `quiet`, `balanced` or `full`.
 */
name: string, } | { "request": "pause" } & PauseRequest | { "request": "resume" } | { "request": "join", 
/**
 * What `gogrid invite` printed.
 */
code: string, } | { "request": "read_code", 
/**
 * What `gogrid invite` printed.
 */
code: string, } | { "request": "join_again" } | { "request": "leave" } | { "request": "history", 
/**
 * How far back.
 */
range: Range, } | { "request": "events", 
/**
 * All that are remembered (at most 2000) after this instant, in milliseconds since 1970. Without it, the
 * latest 200.
 */
after_ms: number | null, } | { "request": "days" } | { "request": "energy_figures" } & EnergyFigures | { "request": "weights" } | { "request": "clear_weights", 
/**
 * Those of this model only.
 */
model: string | null, } | { "request": "diagnose" } | { "request": "programs" } | { "request": "self_test", 
/**
 * Finish the answers under way first, and take no new ones until the test is over.
 */
after_answers: boolean, };

/**
 * How to pause.
 */
export type PauseRequest = { 
/**
 * Seconds until it ends by itself, within [`PAUSE_SECONDS`]; without it, the pause lasts until the donor resumes.
 */
seconds: number | null, 
/**
 * Finish the answers that are under way, and take no new ones.
 */
after_answers: boolean, };

/**
 * The worker's answer.
 */
export type Response = { "response": "status", "body": Status } | { "response": "limits", "body": Array<Setting> } | { "response": "code", "body": CodeDetails } | { "response": "history", "body": History } | { "response": "events", "body": Array<Event> } | { "response": "days", "body": Days } | { "response": "weights", "body": CachedWeights } | { "response": "diagnosis", "body": Diagnosis } | { "response": "programs", "body": Array<string> } | { "response": "self_test", "body": SelfTest } | { "response": "done" } | { "response": "refused", "body": RequestError };

/**
 * One limit.
 */
export type Setting = { 
/**
 * Its key.
 */
key: string, 
/**
 * Its value, as `set` takes it.
 */
value: string, 
/**
 * Whether it differs from the preset's.
 */
changed: boolean, 
/**
 * What it does and which values it takes, for people.
 */
help: string, 
/**
 * The preset's value.
 */
default: string, 
/**
 * The bound of the machine's administrator; null if the donor alone decides.
 */
managed: Managed | null, 
/**
 * Why the rule is off although it is set: this machine does not have the signal that it needs. Null if it is on,
 * or not set.
 */
no_signal: string | null, };

/**
 * An administrator's bound on a limit. The donor may always be stricter.
 */
export type Managed = { 
/**
 * The laxest value that is accepted.
 */
bound: string, 
/**
 * Whether the limit is hidden from the donor.
 */
hidden: boolean, };

/**
 * Why a request was not done.
 */
export type RequestError = { 
/**
 * The wrong field, if the error is about one.
 */
field: string | null, 
/**
 * Why, for people.
 */
message: string, };

/**
 * How far back charts go.
 */
export type Range = "minute" | "ten_minutes" | "day";

/**
 * The points of a chart, oldest first, `step_ms` apart. There are none for times at which the worker did not run.
 */
export type History = { 
/**
 * Milliseconds between points.
 */
step_ms: number, 
/**
 * The points. If steps are long, the last one is of the step under way.
 */
points: Array<Point>, 
/**
 * Times without points because the worker did not run, oldest first. Times in which the machine slept are not
 * among them.
 */
gaps: Array<Gap>, };

/**
 * A time in which the worker did not run.
 */
export type Gap = { 
/**
 * Its begin, in milliseconds since 1970. After an unexpected end, the worker may have run for up to five minutes
 * more.
 */
from_ms: number, 
/**
 * Its end.
 */
to_ms: number, 
/**
 * Whether it began with an end that nobody asked for.
 */
unexpected: boolean, };

/**
 * Means over one step. Loads are parts of the whole device, between 0 and 1; memory is in bytes. Null: not known, or
 * no GPU is lent.
 */
export type Point = { 
/**
 * The end of the step, in milliseconds since 1970.
 */
at_ms: number, 
/**
 * The worker's part of all cores' time.
 */
cpu: number | null, 
/**
 * Everything else's.
 */
cpu_others: number | null, 
/**
 * The donor's limit.
 */
cpu_limit: number, 
/**
 * The worker's part of the GPU's time.
 */
gpu: number | null, 
/**
 * Everything else's.
 */
gpu_others: number | null, 
/**
 * The donor's limit.
 */
gpu_limit: number | null, 
/**
 * The worker's memory: GPU memory if a GPU is lent, otherwise main memory.
 */
memory: number | null, 
/**
 * Everything else's.
 */
memory_others: number | null, 
/**
 * The donor's limit.
 */
memory_limit: number | null, 
/**
 * Rows computed per second.
 */
tokens_per_second: number, 
/**
 * What the worker was allowed of all cores' time: the donor's limit or less.
 */
cpu_allowed: number | null, 
/**
 * What it was allowed of the GPU's time.
 */
gpu_allowed: number | null, 
/**
 * What it was allowed of that memory.
 */
memory_allowed: number | null, };

/**
 * An entry of the timeline.
 */
export type Event = { 
/**
 * In milliseconds since 1970.
 */
at_ms: number, 
/**
 * What happened.
 */
what: EventKind, };

/**
 * Something that happened.
 */
export type EventKind = { "event": "allowance", 
/**
 * What the worker does from now on: `working` (all of the limits), `throttled`, `stopped` or `paused`.
 */
state: State, 
/**
 * Of all cores, in thousandths.
 */
cpu: number, 
/**
 * Of the GPU, in thousandths; null where none is lent.
 */
gpu: number | null, 
/**
 * The reason's kind, as in [`gogrid_limits::Reason`].
 */
kind: string, 
/**
 * The reason, in a sentence.
 */
reason: string, } | { "event": "loaded", 
/**
 * The model's name.
 */
model: string, 
/**
 * First layer, and the one after the last.
 */
layers: [number, number], 
/**
 * How long it took.
 */
seconds: number, } | { "event": "unloaded", 
/**
 * The model's name.
 */
model: string, 
/**
 * First layer, and the one after the last.
 */
layers: [number, number], } | { "event": "started" } | { "event": "ended", 
/**
 * The problem; null if it was told to end.
 */
problem: string | null, } | { "event": "ended_unexpectedly" } | { "event": "connected" } | { "event": "disconnected" } | { "event": "joined" } | { "event": "left" } | { "event": "revoked", 
/**
 * Why, in the coordinator's words.
 */
reason: string, } | { "event": "limits_reset", 
/**
 * What was wrong with it.
 */
reason: string, 
/**
 * Where the file was moved to.
 */
kept: string, };

/**
 * What the machine has given.
 */
export type Days = { 
/**
 * Days on which the worker ran, oldest first; at most the last 400.
 */
days: Array<Day>, 
/**
 * How the energy is measured or estimated, for people.
 */
method: string, 
/**
 * What the donor says of energy and its price.
 */
figures: EnergyFigures, 
/**
 * What the devices with a meter draw at rest, in watts; null without one, or before a quiet moment.
 */
rest_watts: number | null, };

/**
 * The work of a day, in the donor's time zone.
 */
export type Day = { 
/**
 * As in `2026-11-25`.
 */
date: string, 
/**
 * Rows computed: every token of every stage here counts once.
 */
tokens: number, 
/**
 * Seconds in which something was computed.
 */
active_seconds: number, 
/**
 * Energy of that work beyond that of a machine at rest, in watt-hours; partly or wholly estimated.
 */
energy_wh: number, 
/**
 * The part of it that meters told.
 */
metered_wh: number, 
/**
 * Seconds in which the worker ran, with work or without.
 */
running_seconds: number, };

/**
 * What the donor says of the computer's energy and of its price. The worker counts with it where it cannot measure.
 */
export type EnergyFigures = { 
/**
 * The price of a kilowatt-hour, 0 to 1,000,000.
 */
price: number | null, 
/**
 * Its currency as it is shown, such as `€` or `SEK`; at most 8 characters.
 */
currency: string, 
/**
 * What the whole computer draws at rest, 1 to 5000 W.
 */
rest_watts: number | null, 
/**
 * What it draws with all cores busy; not less than at rest.
 */
full_watts: number | null, };

/**
 * The weights that are kept on this machine's disk.
 */
export type CachedWeights = { 
/**
 * What they take together, in bytes.
 */
bytes: number, 
/**
 * By model, the largest first. What models share counts for each of them.
 */
models: Array<CachedModel>, };

/**
 * A model's part of them.
 */
export type CachedModel = { 
/**
 * The model's name; null for weights of which no model is known.
 */
name: string | null, 
/**
 * In bytes.
 */
bytes: number, 
/**
 * Whether a stage of it is loaded or being loaded. Then it is not cleared.
 */
in_use: boolean, };

/**
 * What was found.
 */
export type Diagnosis = { 
/**
 * The worker's version.
 */
version: string, 
/**
 * The operating system, for people.
 */
system: string, 
/**
 * Processors and graphics cards.
 */
devices: Array<Device>, 
/**
 * Where the signals come from.
 */
signals: Array<SignalSource>, };

/**
 * A device.
 */
export type Device = { 
/**
 * As `--device` spells it; null if no build can use it.
 */
device: string | null, 
/**
 * Its name.
 */
name: string, 
/**
 * What it has: cores, memory.
 */
detail: string, 
/**
 * Whether it is the one that is lent.
 */
lent: boolean, 
/**
 * Why it cannot be lent; null if it can.
 */
why_not: string | null, };

/**
 * A signal of the machine, and how it is read.
 */
export type SignalSource = { 
/**
 * Which: `user_idle`, `full_screen`, `power`, `temperature`, `cpu`, `memory`, `gpu`.
 */
signal: string, 
/**
 * What it is read from; null if it cannot be read.
 */
source: string | null, 
/**
 * Why it cannot be read.
 */
why_not: string | null, 
/**
 * Whether a rule that is on needs it. If it cannot be read then, the user counts as present.
 */
needed: boolean, };

/**
 * What the self-test measured: a few seconds of real work under the limits that hold now, and a stop.
 */
export type SelfTest = { 
/**
 * The CPU allowance during the test, between 0 and 1.
 */
cpu_allowed: number, 
/**
 * What the system counted for this process, between 0 and 1.
 */
cpu_taken: number, 
/**
 * How long the work ran, in seconds.
 */
seconds: number, 
/**
 * From the order to stop to the end of the last computation, in milliseconds.
 */
stopped_after_ms: number, };

/**
 * What the worker may take right now. Never more than the limits say.
 */
export type Allowance = { 
/**
 * Part of all cores' time.
 */
cpu: Share, 
/**
 * Part of the GPU's time; 0 without a GPU.
 */
gpu: Share, 
/**
 * Main memory, in bytes.
 */
memory: number, 
/**
 * GPU memory, in bytes; 0 without a GPU.
 */
gpu_memory: number, 
/**
 * The rule that takes most.
 */
reason: Reason, };

/**
 * A part of a device's time or memory, in thousandths.
 */
export type Share = number;

/**
 * Why the allowance is what it is. Its text is for the donor: one plain sentence.
 */
export type Reason = { "kind": "free" } | { "kind": "starting" } | { "kind": "paused", 
/**
 * The end of the pause; `None`: until the donor resumes.
 */
until: Moment | null, } | { "kind": "outside_schedule" } | { "kind": "daily_hours", 
/**
 * The donor's limit, in seconds.
 */
limit: number, } | { "kind": "daily_energy", 
/**
 * The donor's limit, in watt-hours.
 */
limit: number, } | { "kind": "in_use" } | { "kind": "others_cpu", 
/**
 * Theirs, of all cores.
 */
load: Share, } | { "kind": "others_gpu", 
/**
 * Theirs.
 */
load: Share, } | { "kind": "room_cpu", 
/**
 * Theirs, of all cores.
 */
load: Share, } | { "kind": "room_gpu", 
/**
 * Theirs.
 */
load: Share, } | { "kind": "battery", 
/**
 * What is left of it.
 */
charge: Share, } | { "kind": "too_hot", 
/**
 * The hottest sensor.
 */
celsius: number, 
/**
 * The donor's.
 */
limit: number, } | { "kind": "warm", 
/**
 * The hottest sensor.
 */
celsius: number, 
/**
 * The donor's.
 */
limit: number, } | { "kind": "cooling", 
/**
 * The hottest sensor.
 */
celsius: number, 
/**
 * The temperature at which work continues.
 */
resumes: number, } | { "kind": "program", 
/**
 * The program.
 */
name: string, } | { "kind": "full_screen" } | { "kind": "unknown", 
/**
 * What cannot be read.
 */
signal: SignalKind, 
/**
 * Why, as the probe says it.
 */
why: string, } | { "kind": "settling" } | { "kind": "climbing" } | { "kind": "memory_short", 
/**
 * What programs can still get, in bytes.
 */
available: number, } | { "kind": "memory_pressure", 
/**
 * Part of the time in which some program waits.
 */
waiting: Share, } | { "kind": "gpu_memory_short", 
/**
 * What others use, in bytes.
 */
others: number, };

/**
 * A signal that a rule needs.
 */
export type SignalKind = "user_idle" | "cpu_load" | "gpu_load" | "temperature" | "power" | "full_screen" | "programs";

/**
 * A time on the donor's clock.
 */
export type Moment = { 
/**
 * In local time, to the minute.
 */
at: string, 
/**
 * Whether it is today; the date is then left out.
 */
today: boolean, };

/**
 * A value that was read, or why it could not be. Never a zero for "unknown".
 */
export type Signal<T> = { "known": T } | { "unknown": string } | { "absent": string };

/**
 * One sample of the machine. Loads are means since the sample before, between 0 and 1.
 */
export type Sample = { 
/**
 * CPU time, as a part of all cores.
 */
cpu: Signal<Load>, 
/**
 * Main memory.
 */
memory: Signal<Memory>, 
/**
 * The GPU that the worker lends; `None` if it lends none, and no GPU rule applies.
 */
gpu: Signal<Gpu> | null, 
/**
 * The hottest CPU sensor, in °C.
 */
cpu_celsius: Signal<number>, 
/**
 * What the processors draw by their own meter, in watts.
 */
cpu_watts: Signal<number>, 
/**
 * Where the machine's power comes from.
 */
power: Signal<Power>, 
/**
 * Time since the last key or pointer event.
 */
user_idle: { known: { secs: number; nanos: number } } | { unknown: string } | { absent: string }, 
/**
 * Whether the window in front covers the screen.
 */
full_screen: Signal<boolean>, 
/**
 * The programs to stop for that are running, by name.
 */
programs: Signal<Array<string>>, };

/**
 * A device's load.
 */
export type Load = { 
/**
 * Of all processes together.
 */
total: number, 
/**
 * Of this worker's process.
 */
own: number, };

/**
 * Main memory, in bytes.
 */
export type Memory = { 
/**
 * Installed.
 */
total: number, 
/**
 * What programs can still get without swapping.
 */
available: number, 
/**
 * Of this worker's process.
 */
own: number, 
/**
 * Part of the time in which some process waited for memory (Linux: PSI `some`, 10 s mean), between 0 and 1.
 */
pressure: Signal<number>, };

/**
 * A GPU.
 */
export type Gpu = { 
/**
 * Its load, ours and others'.
 */
load: Signal<Load>, 
/**
 * Memory of the device, in bytes.
 */
memory_total: number, 
/**
 * Memory in use by everybody, in bytes.
 */
memory_used: number, 
/**
 * Memory in use by this worker's process, in bytes.
 */
memory_own: Signal<number>, 
/**
 * Temperature in °C.
 */
celsius: Signal<number>, 
/**
 * Power draw in watts.
 */
watts: Signal<number>, };

/**
 * Where power comes from.
 */
export type Power = "mains" | { "battery": { 
/**
 * Between 0 and 1.
 */
charge: number, } };
