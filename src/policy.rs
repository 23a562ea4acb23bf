//! Which requirements hold for which image. Pure: what it reads is handed in, and so is the time.

pub mod requirement;
