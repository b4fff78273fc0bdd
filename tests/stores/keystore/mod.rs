//! The keystore: its format, what it refuses, and what it survives.

mod adding;
mod damage;
mod faults;
mod lifecycle;
mod properties;
mod refusals;
mod second_reader;
mod settle;
mod support;
mod taken_back;
mod tampering;
mod texts;
mod together;
mod traced;
