//! The contract as data: the methods of AnalyticsService and their messages,
//! from the descriptors of the .proto files. New methods and fields appear in
//! the gateway without a line of code.

use modash_proto::FILE_DESCRIPTOR_SET;
use prost_reflect::{
    DescriptorError, DescriptorPool, MessageDescriptor, MethodDescriptor, ServiceDescriptor,
    prost_types::method_options::IdempotencyLevel,
};

/// Full name of the one service that the gateway speaks for.
pub(crate) const SERVICE: &str = "modash.v1.AnalyticsService";

const LIVE_REQUEST: &str = "modash.v1.LiveRequest";

/// Descriptors that are not those of the generated code.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// They cannot be read.
    #[error("the descriptors cannot be read")]
    Broken(#[source] DescriptorError),
    /// Something that the gateway needs is not in them.
    #[error("the descriptors lack {0}")]
    Missing(&'static str),
}

/// The service and its messages.
#[derive(Debug, Clone)]
pub(crate) struct Contract {
    service: ServiceDescriptor,
    live_request: MessageDescriptor,
}

impl Contract {
    /// Reads the descriptors that come with the generated code.
    pub(crate) fn new() -> Result<Self, ContractError> {
        let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).map_err(ContractError::Broken)?;
        let service = pool.get_service_by_name(SERVICE).ok_or(ContractError::Missing(SERVICE))?;
        let live_request =
            pool.get_message_by_name(LIVE_REQUEST).ok_or(ContractError::Missing(LIVE_REQUEST))?;
        Ok(Self { service, live_request })
    }

    /// The method of this name, streaming ones included.
    pub(crate) fn method(&self, name: &str) -> Option<MethodDescriptor> {
        self.service.methods().find(|method| method.name() == name)
    }

    /// Whether the contract says that a method only reads.
    pub(crate) fn only_reads(method: &MethodDescriptor) -> bool {
        let options = method.method_descriptor_proto().options.as_ref();
        options
            .is_some_and(|options| options.idempotency_level() == IdempotencyLevel::NoSideEffects)
    }

    /// The message for a request in flight.
    pub(crate) fn live_request(&self) -> MessageDescriptor {
        self.live_request.clone()
    }

    /// The message of this full name.
    #[cfg(test)]
    pub(crate) fn message(&self, name: &str) -> Option<MessageDescriptor> {
        self.service.parent_pool().get_message_by_name(name)
    }
}
