mod brute_force;
mod explanations;
mod greedy;
mod laws;
mod memory;
mod repair;
mod scale;
mod shapes;
