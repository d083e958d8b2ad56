//! Everything that is tested from outside: one binary, one module per concern.

mod damage;
mod laws;
mod rows;
