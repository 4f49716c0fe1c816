//! The core as a whole: the recorded contract, random calls against a model, isolation,
//! and input that means harm.

mod contract;
mod documentation;
mod isolation;
mod json;
mod limits;
mod malice;
mod memory;
mod native;
mod openapi;
mod rules;
