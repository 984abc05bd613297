//! Analytics as a whole, over gRPC, on a real PostgreSQL.

#![allow(clippy::unwrap_used, reason = "what is not as expected fails the test")]

mod access;
mod bad_input;
mod bookings;
mod budgets;
mod cancelled;
mod cardinality;
mod chains;
mod cluster;
mod completeness;
mod costs;
mod data;
mod grpc;
mod harness;
mod ingest;
mod lies;
mod load;
mod model;

mod model_breakdown;
mod names;
mod outage;
mod owners;
mod prices;
mod random;
mod rate_limits;

mod recent_requests;
mod remembered;
mod rollups;
mod server;
mod storage;
mod subscribe;
mod sums;
mod throughput_timeseries;
mod usage_summary;
mod usage_timeseries;
mod views_and_marks;
