//! What a worker says to the panel and to the command line, and takes from them.
