/** The weights of models that are kept on the disk. */
export const weights = {
  title: "Models on this disk",
  loading: "Looking at the disk…",
  none: "No model is kept on this computer.",
  unknown: "Models of an earlier version",
  inUse: "in use",
  clear: "Clear",
  clearModel: (name: string) => `Clear ${name}`,
  clearAll: "Clear what is not in use",
  ask: "Clear models?",
  askModel: (name: string, bytes: string) => `${name} takes ${bytes}. It is fetched again when it is needed.`,
  askAll: "All models that are not in use are deleted, and fetched again when they are needed.",
  cleared: (bytes: string) => `${bytes} cleared`,
};
