//! Joins the rooms: what is due, what was seen, what is remembered, what is sent.

mod diff;
mod engine;
mod file;
mod job;
mod look;
mod pass;
mod root;
mod table;
mod verdict;
