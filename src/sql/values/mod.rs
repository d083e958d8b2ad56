//! What goes through a query: states, heads, decisions, grids and rows as Arrow arrays.

pub(super) mod decisions;
pub(super) mod describe;
pub(super) mod grid_column;
pub(super) mod head;
pub(super) mod rows;
pub(super) mod shared;
pub(super) mod sql_state;
pub(super) mod state_column;
