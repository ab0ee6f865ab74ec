//! The annotations `kubernetes.io/ingress-bandwidth` and `kubernetes.io/egress-bandwidth`, which CNI plugins go by.

use podyard_api::quantity;
use podyard_linux::network::Bandwidth;

use super::PodFacts;

const LEAST: i128 = 1_000;
const MOST: i128 = 1_000_000_000_000_000;

/// What the pod may receive and send, in bits per second.
///
/// # Errors
///
/// In the words of container runtimes, when an amount makes no sense.
pub(crate) fn of_pod(facts: &PodFacts<'_>) -> Result<Bandwidth, String> {
    let limit = |direction: &str| -> Result<Option<u64>, String> {
        let name = format!("kubernetes.io/{direction}-bandwidth");
        let annotations = facts.pod.metadata.annotations.as_ref();
        let Some(text) = annotations.and_then(|annotations| annotations.get(&name)) else {
            return Ok(None);
        };
        let milli = quantity::milli(text)
            .map_err(|error| format!("annotation {name}: {text:?}: {error}"))?;
        let bits = (milli + 999) / 1000;
        match u64::try_from(bits) {
            _ if bits < LEAST => Err("resource is unreasonably small (< 1kbit)".to_owned()),
            Ok(bits) if i128::from(bits) <= MOST => Ok(Some(bits)),
            _ => Err("resource is unreasonably large (> 1Pbit)".to_owned()),
        }
    };
    Ok(Bandwidth {
        ingress: limit("ingress")?,
        egress: limit("egress")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use podyard_api::core::{Pod, PodSpec};
    use serde_json::json;

    #[track_caller]
    fn check(ingress: &str, expected: Result<Option<u64>, &str>) {
        let annotations = json!({"kubernetes.io/ingress-bandwidth": ingress});
        let pod: Pod = serde_json::from_value(json!({"metadata": {"annotations": annotations}}))
            .expect("a pod");
        let found = of_pod(&PodFacts::alone(&pod, &PodSpec::default()));
        let expected = expected.map(|ingress| Bandwidth {
            ingress,
            egress: None,
        });
        assert_eq!(found, expected.map_err(str::to_owned), "{ingress}");
    }

    #[test]
    fn amounts_are_quantities_within_reason() {
        check("10M", Ok(Some(10_000_000)));
        check("1Ki", Ok(Some(1024)));
        check("1k", Ok(Some(1000)));
        check("1P", Ok(Some(1_000_000_000_000_000)));
        check("999", Err("resource is unreasonably small (< 1kbit)"));
        check("-1M", Err("resource is unreasonably small (< 1kbit)"));
        check("2P", Err("resource is unreasonably large (> 1Pbit)"));
    }
}
