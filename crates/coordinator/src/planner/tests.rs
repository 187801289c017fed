mod brute;
mod laws;
mod old;
mod pairs;
mod repair;
mod scale;
mod shapes;
mod words;
