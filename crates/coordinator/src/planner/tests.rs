mod brute;
mod laws;
mod old;
mod pairs;
mod scale;
mod shapes;
mod words;
