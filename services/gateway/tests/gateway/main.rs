//! The gateway from outside: real sockets on both sides, a scripted analytics
//! behind it.

#[cfg(test)]
mod access;
#[cfg(test)]
mod assets;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod connect;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod events;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod grpc_web;
#[cfg(test)]
mod guard;
#[cfg(test)]
mod rpc;
#[cfg(test)]
mod session;
#[cfg(test)]
mod shares;
#[cfg(test)]
mod support;
