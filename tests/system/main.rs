//! What holds for the whole: the floors of the source, hints that help, power cuts, little memory, a server's data directory.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod datadir;
mod documents;
mod hints;
mod keyroll_cnf;
mod layering;
mod little_memory;
mod power_loss;
mod ring_growth;
