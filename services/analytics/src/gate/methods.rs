//! Which role each method needs. A method that is not listed needs the role of
//! admins; the test walks the descriptors, so that none stays unlisted.

use modash_access::Role;

/// Every method by its path.
const METHODS: [(&str, Role); 29] = [
    ("/modash.v1.AnalyticsService/UsageSummary", Role::Read),
    ("/modash.v1.AnalyticsService/UsageTimeseries", Role::Read),
    ("/modash.v1.AnalyticsService/ThroughputTimeseries", Role::Read),
    ("/modash.v1.AnalyticsService/ModelBreakdown", Role::Read),
    ("/modash.v1.AnalyticsService/Breakdown", Role::Read),
    ("/modash.v1.AnalyticsService/RecentRequests", Role::Read),
    ("/modash.v1.AnalyticsService/Sessions", Role::Read),
    ("/modash.v1.AnalyticsService/Session", Role::Read),
    ("/modash.v1.AnalyticsService/Completeness", Role::Read),
    ("/modash.v1.AnalyticsService/ErrorBreakdown", Role::Read),
    ("/modash.v1.AnalyticsService/RateLimits", Role::Read),
    ("/modash.v1.AnalyticsService/ListViews", Role::Read),
    ("/modash.v1.AnalyticsService/SaveView", Role::Admin),
    ("/modash.v1.AnalyticsService/DeleteView", Role::Admin),
    ("/modash.v1.AnalyticsService/ListNames", Role::Read),
    ("/modash.v1.AnalyticsService/SetName", Role::Admin),
    ("/modash.v1.AnalyticsService/ListMarks", Role::Read),
    ("/modash.v1.AnalyticsService/AddMark", Role::Admin),
    ("/modash.v1.AnalyticsService/DeleteMark", Role::Admin),
    ("/modash.v1.AnalyticsService/ListBudgets", Role::Read),
    ("/modash.v1.AnalyticsService/SaveBudget", Role::Admin),
    ("/modash.v1.AnalyticsService/DeleteBudget", Role::Admin),
    ("/modash.v1.AnalyticsService/Subscribe", Role::Read),
    ("/modash.v1.IngestService/StreamUsage", Role::Ingest),
    ("/grpc.health.v1.Health/Check", Role::Read),
    ("/grpc.health.v1.Health/Watch", Role::Read),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Role::Read),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Role::Read),
    // Nothing is there, which any reader may know.
    ("/", Role::Read),
];

/// The role that a path needs.
pub(super) fn role(path: &str) -> Role {
    let method = METHODS.iter().find(|(known, _)| *known == path);
    method.map_or(Role::Admin, |(_, role)| *role)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    #[test]
    fn every_method_of_every_service_has_a_role() {
        let sets = [
            modash_proto::FILE_DESCRIPTOR_SET,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ];
        let mut found = BTreeSet::from(["/".to_owned()]);
        for set in sets {
            for file in FileDescriptorSet::decode(set).unwrap().file {
                for service in &file.service {
                    found.extend(service.method.iter().map(|method| {
                        format!("/{}.{}/{}", file.package(), service.name(), method.name())
                    }));
                }
            }
        }
        let listed: BTreeSet<_> = METHODS.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(listed, found, "a method came or went: decide which role it needs");
    }

    #[test]
    fn what_is_not_listed_is_for_admins() {
        assert_eq!(role("/modash.v1.AnalyticsService/SetPrices"), Role::Admin);
        assert_eq!(role("/modash.v1.IngestService/StreamUsage"), Role::Ingest);
    }
}
