//! Everything that is tested from outside: one binary, one module per concern.

mod laws;
mod reading;
mod rows;
mod second_read;
