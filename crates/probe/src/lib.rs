//! What the machine shows (CPU, GPU, memory, temperature, power, user) and its levers.
