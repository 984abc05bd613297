//! Which requests are traced: the samplers that `OTEL_TRACES_SAMPLER` can name. For the
//! proxy, whose spans are made of its events; other spans use those of the SDK, which
//! decide alike.

/// Decides once for each request, at its head.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampler {
    /// Follow the decision of the client where it made one.
    parent_based: bool,
    /// Share of the traces that are sampled, of those decided here.
    ratio: f64,
}

impl Sampler {
    /// By the names of the specification; without one, `parentbased_always_on`. The error
    /// is a name or a ratio that is not known, for which the usual one is taken.
    pub fn from_texts(name: Option<&str>, argument: Option<&str>) -> (Self, Option<&'static str>) {
        let ratio = match argument.map(str::parse::<f64>) {
            None => Some(1.0),
            Some(Ok(ratio)) if (0.0..=1.0).contains(&ratio) => Some(ratio),
            Some(_) => None,
        };
        let (parent_based, ratio) = match name {
            None | Some("parentbased_always_on") => (true, Some(1.0)),
            Some("always_on") => (false, Some(1.0)),
            Some("always_off") => (false, Some(0.0)),
            Some("traceidratio") => (false, ratio),
            Some("parentbased_always_off") => (true, Some(0.0)),
            Some("parentbased_traceidratio") => (true, ratio),
            Some(_) => {
                let problem = "OTEL_TRACES_SAMPLER is not known; taking parentbased_always_on";
                return (Self { parent_based: true, ratio: 1.0 }, Some(problem));
            }
        };
        let problem = "OTEL_TRACES_SAMPLER_ARG must be from 0 to 1; taking 1";
        let sampler = Self { parent_based, ratio: ratio.unwrap_or(1.0) };
        (sampler, ratio.is_none().then_some(problem))
    }

    /// Whether a request is sampled, given the decision of its client, if it made one.
    #[must_use]
    pub fn samples(&self, trace_id: u128, parent: Option<bool>) -> bool {
        match parent {
            Some(sampled) if self.parent_based => sampled,
            _ if self.ratio >= 1.0 => true,
            // As `TraceIdRatioBased` of the SDKs: by the low 63 bits, so that all services
            // of a trace agree.
            _ => ((trace_id as u64) >> 1) < (self.ratio * (1_u64 << 63) as f64) as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_sdk::trace::{self, ShouldSample as _};

    use super::*;

    fn sampler(name: &str, argument: Option<&str>) -> Sampler {
        let (sampler, problem) = Sampler::from_texts(Some(name), argument);
        assert_eq!(problem, None);
        sampler
    }

    #[test]
    fn a_parents_decision_is_followed_only_by_parent_based_samplers() {
        let (based, _) = Sampler::from_texts(None, None);
        assert!(based.samples(1, None) && !based.samples(1, Some(false)));
        assert!(sampler("always_on", None).samples(1, Some(false)));
        let off = sampler("parentbased_always_off", None);
        assert!(off.samples(1, Some(true)) && !off.samples(1, None));
    }

    #[test]
    fn a_ratio_samples_the_traces_that_the_sdk_samples() {
        let ours = sampler("traceidratio", Some("0.01"));
        let theirs = trace::Sampler::TraceIdRatioBased(0.01);
        let mut sampled = 0;
        for at in 0..100_000_u128 {
            let id = at.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_0C2B_0D1E_4B57) | 1;
            let kind = &opentelemetry::trace::SpanKind::Server;
            let decision = theirs.should_sample(None, id.into(), "", kind, &[], &[]).decision;
            let expected = decision == trace::SamplingDecision::RecordAndSample;
            assert_eq!(ours.samples(id, None), expected, "{id:032x}");
            sampled += u32::from(expected);
        }
        assert!((800..1_200).contains(&sampled), "{sampled} of 100,000");
    }

    #[test]
    fn what_is_not_known_is_said() {
        assert!(Sampler::from_texts(Some("jaeger_remote"), None).1.is_some());
        let (sampler, problem) = Sampler::from_texts(Some("traceidratio"), Some("1.5"));
        assert!(sampler.samples(u128::MAX, None) && problem.is_some());
    }
}
