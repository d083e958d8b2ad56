//! Everything that is tested from outside: one binary, one module per concern.

mod archives;
mod cli;
mod damage;
mod goldens;
mod laws;
mod layering;
mod reading;
mod rows;
mod second_read;
