//! Pulling from registries that lie, break off, demand credentials or send elsewhere.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use podyard_image::{
    AuthFile, Credentials, Mirror, Progress, PullError, PullErrorKind, PullOptions, Pulled,
    Reference, Store,
};

use crate::fake::{Answer, FakeRegistry, Request, documents, is_for, offset};
use crate::support::*;

fn noise(length: usize) -> Vec<u8> {
    // Incompressible enough for offsets in the blob to mean something.
    let mut state = 1_u64;
    std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        u8::try_from(state >> 56).unwrap()
    })
    .take(length)
    .collect()
}

fn image() -> TestImage {
    TestImage::new()
        .layer(Layer::new().file("small", "1"))
        .layer(Layer::new().file("large", noise(400_000)))
}

fn pull(store: &Store, reference: &Reference) -> Result<Pulled, PullError> {
    store.pull(reference, &PullOptions::default(), &mut |_| {})
}

fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Pulls from a server that answers `first` where it says something, and like a good registry otherwise.
fn pull_with(
    first: impl Fn(&TestImage, &Request) -> Option<Answer> + Send + Sync + 'static,
) -> (TempDir, FakeRegistry, Result<Pulled, PullError>) {
    let image = image();
    let server = FakeRegistry::start(move |request| {
        first(&image, request).or_else(|| documents(&image, request))
    });
    let dir = TempDir::new();
    let pulled = pull(&dir.store(), &server.reference("app:1"));
    (dir, server, pulled)
}

fn fails(
    kind: PullErrorKind,
    words: &str,
    first: impl Fn(&TestImage, &Request) -> Option<Answer> + Send + Sync + 'static,
) {
    let (dir, _server, pulled) = pull_with(first);
    let error = pulled.expect_err(words);
    assert_eq!(error.kind(), kind, "{}", chain(&error));
    assert!(chain(&error).contains(words), "{words}: {}", chain(&error));
    let store = dir.store();
    assert!(store.list().unwrap().is_empty() && files_below(&store.root().join("tmp")).is_empty());
    store.gc().unwrap();
    assert_empty(&store);
}

fn if_for(request: &Request, text: &str, answer: Answer) -> Option<Answer> {
    request.line.contains(text).then_some(answer)
}

#[test]
fn content_that_is_not_what_its_digest_says() {
    use PullErrorKind::Tampered;
    fails(Tampered, "layer has digest", |image, request| {
        is_for(request, &image.layers[1].0)
            .then(|| Answer::ok(gzip(&Layer::new().file("evil", "").bytes())))
    });
    fails(Tampered, "layer has digest", |image, request| {
        let mut blob = image.layers[1].0.clone();
        blob[200_000] ^= 1;
        is_for(request, &image.layers[1].0).then(|| Answer::ok(blob))
    });
    fails(Tampered, "configuration has digest", |image, request| {
        is_for(request, &image.config_bytes()).then(|| Answer::ok("{}"))
    });
    fails(Tampered, "manifest has digest", |image, request| {
        let digest = image.manifest_digest().to_string();
        if_for(
            request,
            "/manifests/",
            Answer::ok("{}").header("Docker-Content-Digest", digest),
        )
    });
    fails(
        PullErrorKind::TooLarge,
        "longer than its manifest says",
        |image, request| {
            let blob = [&image.layers[1].0[..], b"more"].concat();
            is_for(request, &image.layers[1].0).then(|| Answer::ok(blob))
        },
    );
}

#[test]
fn answers_that_are_no_images() {
    fails(
        PullErrorKind::InvalidImage,
        "cannot be decoded",
        |_, request| {
            if_for(
                request,
                "/manifests/",
                Answer::ok("<html>a login page</html>"),
            )
        },
    );
    fails(PullErrorKind::InvalidImage, "schema 1", |_, request| {
        if_for(request, "/manifests/", Answer::ok(r#"{"schemaVersion":1}"#))
    });
    fails(
        PullErrorKind::TooLarge,
        "the manifest has more than",
        |_, request| if_for(request, "/manifests/", Answer::ok(vec![b' '; 5 << 20])),
    );
    fails(
        PullErrorKind::NotFound,
        "manifest unknown",
        |image, request| {
            is_for(request, &image.layers[0].0)
                .then(|| Answer::new(404, ""))
                .map(|answer| Answer {
                    body: br#"{"errors":[{"message":"manifest unknown"}]}"#.to_vec(),
                    ..answer
                })
        },
    );
    fails(
        PullErrorKind::RateLimited,
        "refuses more requests for now: slow down",
        |_, request| {
            if_for(
                request,
                "/manifests/",
                Answer::new(
                    429,
                    r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow\u001b down"}]}"#,
                ),
            )
        },
    );
    fails(
        PullErrorKind::Registry,
        "status 500: internal server error",
        |_, request| if_for(request, "/manifests/", Answer::new(500, "stack trace")),
    );
    fails(
        PullErrorKind::Unauthorized,
        "not allowed to pull",
        |_, request| if_for(request, "/manifests/", Answer::new(401, "")),
    );
    fails(PullErrorKind::Unauthorized, "denied", |_, request| {
        if_for(
            request,
            "/manifests/",
            Answer::new(403, r#"{"errors":[{"code":"DENIED","message":""}]}"#).clone(),
        )
        .map(|answer| Answer {
            body: br#"{"errors":[{"message":"denied"}]}"#.to_vec(),
            ..answer
        })
    });
}

/// Goal: a connection that breaks costs what was lost, not what had arrived, and unpacking goes on.
#[test]
fn broken_connections_are_resumed() {
    let breaks = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&breaks);
    let (dir, server, pulled) = pull_with(move |image, request| {
        let blob = &image.layers[1].0;
        if !is_for(request, blob) {
            return None;
        }
        let rest = blob[offset(request)..].to_vec();
        let answer = Answer::new(if offset(request) > 0 { 206 } else { 200 }, rest);
        Some(if counted.fetch_add(1, Ordering::SeqCst) < 5 {
            answer.cut_at(60_000)
        } else {
            answer
        })
    });
    let image = pulled
        .unwrap_or_else(|error| panic!("{}", chain(&error)))
        .image;
    assert_eq!(
        std::fs::read(image.layers[1].join("large")).unwrap(),
        noise(400_000)
    );
    assert_eq!(breaks.load(Ordering::SeqCst), 6);
    let offsets: Vec<usize> = server
        .requests()
        .iter()
        .filter(|request| request.headers.contains_key("range"))
        .map(offset)
        .collect();
    assert_eq!(offsets, [60_000, 120_000, 180_000, 240_000, 300_000]);
    assert!(files_below(&dir.store().root().join("tmp")).is_empty());
}

/// Goal: a registry that knows no ranges is coped with, at the price of bytes.
#[test]
fn broken_connections_without_ranges() {
    let requests = AtomicUsize::new(0);
    let (_dir, _server, pulled) = pull_with(move |image, request| {
        let blob = &image.layers[1].0;
        is_for(request, blob).then(|| {
            let answer = Answer::ok(blob.clone());
            if requests.fetch_add(1, Ordering::SeqCst) == 0 {
                answer.cut_at(100_000)
            } else {
                answer
            }
        })
    });
    assert_eq!(pulled.unwrap().image.size_bytes, 400_001);
}

/// Goal: a download that never gets on ends, and layers that were complete need not be fetched again.
#[test]
fn connections_that_stay_broken() {
    let image = image();
    let is_good = Arc::new(AtomicUsize::new(0));
    let switch = Arc::clone(&is_good);
    let served = image.clone();
    let server = FakeRegistry::start(move |request| {
        let blob = &served.layers[1].0;
        if is_for(request, blob) && switch.load(Ordering::SeqCst) == 0 {
            // An offset is answered with an error that may pass, so that nothing is ever gained.
            return Some(if offset(request) > 0 {
                Answer::new(503, "")
            } else {
                Answer::ok(blob.clone()).cut_at(100_000)
            });
        }
        documents(&served, request)
    });
    let dir = TempDir::new();
    let store = dir.store();
    let name = server.reference("app:1");
    let mut retries = 0;
    let mut count = |event| retries += usize::from(matches!(event, Progress::Retrying { .. }));
    let error = store
        .pull(&name, &PullOptions::default(), &mut count)
        .unwrap_err();
    assert!(
        matches!(
            error.kind(),
            PullErrorKind::Registry | PullErrorKind::Unreachable
        ),
        "{}",
        chain(&error)
    );
    assert_eq!(retries, 2);
    assert!(files_below(&store.root().join("tmp")).is_empty());
    assert_eq!(store.lookup(&name).unwrap(), None);

    is_good.store(1, Ordering::SeqCst);
    let pulled = pull(&store, &name).unwrap();
    let small = &image.layers[0].0;
    assert_eq!(pulled.transferred_bytes, image.layers[1].0.len() as u64);
    let small_requests = server
        .requests()
        .iter()
        .filter(|request| is_for(request, small))
        .count();
    assert_eq!(small_requests, 1, "it was complete the first time");
}

#[test]
fn nobody_there() {
    let address = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let dir = TempDir::new();
    let name = Reference::parse(&format!("{address}/app:1")).unwrap();
    let error = pull(&dir.store(), &name).unwrap_err();
    assert_eq!(error.kind(), PullErrorKind::Unreachable);
    assert!(
        chain(&error).starts_with(&format!("registry `{address}` cannot be reached: ")),
        "{}",
        chain(&error)
    );
    assert!(chain(&error).contains("refused"), "{}", chain(&error));
}

/// A registry that wants a token, and a token service that gives one only to whom it knows.
fn guarded(image: TestImage) -> FakeRegistry {
    FakeRegistry::start(move |request| {
        let host = &request.headers["host"];
        let authorization = request.headers.get("authorization").map(String::as_str);
        if request.line.starts_with("GET /token") {
            assert!(
                request.line.contains("scope=repository%3Aapp%3Apull"),
                "{}",
                request.line
            );
            // "user:password" in base64.
            return Some(match authorization {
                Some("Basic dXNlcjpwYXNzd29yZA==") => Answer::ok(r#"{"token":"good"}"#),
                None if request.line.contains("service=public") => {
                    Answer::ok(r#"{"access_token":"good"}"#)
                }
                _ => Answer::new(
                    401,
                    r#"{"errors":[{"message":"incorrect username or password"}]}"#,
                ),
            });
        }
        if request.line.starts_with("POST /token") {
            return Some(Answer::ok(r#"{"access_token":"good"}"#));
        }
        if authorization == Some("Bearer good") {
            return documents(&image, request);
        }
        let service = if request.line.contains("/public") {
            "public"
        } else {
            "private"
        };
        let challenge = format!(
            r#"Bearer realm="http://{host}/token",service="{service}",scope="repository:app:pull""#
        );
        Some(
            Answer::new(401, r#"{"errors":[{"message":"authentication required"}]}"#)
                .header("WWW-Authenticate", challenge),
        )
    })
}

#[test]
fn tokens() {
    let server = guarded(image());
    let user = |password: &str| Credentials::Basic {
        username: "user".to_owned(),
        password: password.to_owned(),
    };
    let pull_as = |credentials: Vec<Credentials>| {
        let dir = TempDir::new();
        let options = PullOptions {
            credentials,
            ..PullOptions::default()
        };
        let pulled = dir
            .store()
            .pull(&server.reference("app:1"), &options, &mut |_| {});
        pulled.map(|pulled| pulled.image.size_bytes)
    };
    assert_eq!(pull_as(vec![user("password")]).unwrap(), 400_001);
    assert_eq!(server.count("/token"), 1, "one token for the whole pull");
    assert_eq!(
        pull_as(vec![user("wrong"), user("password")]).unwrap(),
        400_001,
        "one after the other"
    );
    assert_eq!(
        pull_as(vec![Credentials::IdentityToken("t".to_owned())]).unwrap(),
        400_001
    );
    assert_eq!(
        pull_as(vec![Credentials::RegistryToken("good".to_owned())]).unwrap(),
        400_001
    );
    for credentials in [vec![], vec![user("wrong")]] {
        let error = pull_as(credentials).unwrap_err();
        assert_eq!(error.kind(), PullErrorKind::Unauthorized);
        assert!(
            error
                .to_string()
                .ends_with("incorrect username or password"),
            "{error}"
        );
    }
}

#[test]
fn user_names_and_passwords() {
    let image = image();
    let server = FakeRegistry::start(move |request| {
        match request.headers.get("authorization").map(String::as_str) {
            Some("Basic dXNlcjpwYXNzd29yZA==") => documents(&image, request),
            _ => Some(Answer::new(401, "").header("WWW-Authenticate", r#"Basic realm="here""#)),
        }
    });
    let credentials = Credentials::Basic {
        username: "user".to_owned(),
        password: "password".to_owned(),
    };
    let dir = TempDir::new();
    let options = PullOptions {
        credentials: vec![credentials],
        ..PullOptions::default()
    };
    dir.store()
        .pull(&server.reference("app:1"), &options, &mut |_| {})
        .unwrap();
    assert_eq!(
        pull(&TempDir::new().store(), &server.reference("app:1"))
            .unwrap_err()
            .kind(),
        PullErrorKind::Unauthorized
    );
}

/// Goal: blobs may be elsewhere, but credentials do not go there.
#[test]
fn redirects_do_not_leak_credentials() {
    let image = image();
    let served = image.clone();
    let storage = FakeRegistry::start(move |request| documents(&served, request));
    let elsewhere = storage.address.replace("127.0.0.1", "localhost");
    let server = FakeRegistry::start(move |request| {
        if !request.headers.contains_key("authorization") {
            return Some(Answer::new(401, "").header("WWW-Authenticate", r#"Basic realm="here""#));
        }
        let path = request.line.split_once(' ').unwrap().1;
        if path.contains("/blobs/") {
            return Some(
                Answer::new(307, "").header("Location", format!("http://{elsewhere}{path}")),
            );
        }
        documents(&image, request)
    });
    let credentials = Credentials::Basic {
        username: "user".to_owned(),
        password: "password".to_owned(),
    };
    let dir = TempDir::new();
    let options = PullOptions {
        credentials: vec![credentials],
        ..PullOptions::default()
    };
    dir.store()
        .pull(&server.reference("app:1"), &options, &mut |_| {})
        .unwrap();
    assert_eq!(storage.count("/blobs/"), 3);
    assert!(
        storage
            .requests()
            .iter()
            .all(|request| !request.headers.contains_key("authorization"))
    );
}

#[test]
fn mirrors_come_first_and_may_fail() {
    let image = image();
    let mirrored = image.clone();
    let mirror = FakeRegistry::start(move |request| documents(&mirrored, request));
    let empty = FakeRegistry::start(|_| None);
    let server = FakeRegistry::start(move |request| documents(&image, request));
    let name = server.reference("app:1");
    let options = |mirrors: &[&FakeRegistry]| PullOptions {
        mirrors: mirrors
            .iter()
            .map(|mirror| Mirror {
                registry: name.registry().to_owned(),
                url: format!("http://{}", mirror.address),
            })
            .collect(),
        ..PullOptions::default()
    };
    let dir = TempDir::new();
    let pulled = dir
        .store()
        .pull(&name, &options(&[&empty, &mirror]), &mut |_| {})
        .unwrap();
    assert_eq!(
        pulled.image.names,
        std::slice::from_ref(&name),
        "it keeps its own name"
    );
    assert_eq!(
        (empty.count("/manifests/"), server.requests().len()),
        (1, 0)
    );
    let namespace = format!("?ns={}", name.registry());
    assert_eq!(mirror.count(&namespace), mirror.requests().len());

    let dir = TempDir::new();
    dir.store()
        .pull(&name, &options(&[&empty]), &mut |_| {})
        .unwrap();
    assert!(server.count("/blobs/") > 0);
}

const HELPER_CHILD: &str = "PODYARD_TEST_HELPER_CHILD";

/// Not a test of its own: asks a helper that is found on this process's `PATH`.
#[test]
fn helper_child_process() {
    if std::env::var_os(HELPER_CHILD).is_none() {
        return;
    }
    let file = |helper: &str| {
        AuthFile::parse(format!(r#"{{"credHelpers":{{"quay.io":"{helper}"}}}}"#).as_bytes())
            .unwrap()
    };
    let quay = reference("quay.io/app");
    let credentials = Credentials::Basic {
        username: "u".to_owned(),
        password: "for quay.io".to_owned(),
    };
    assert_eq!(file("good").credentials_for(&quay).unwrap(), [credentials]);
    assert_eq!(
        file("good")
            .credentials_for(&reference("ghcr.io/app"))
            .unwrap(),
        []
    );
    assert_eq!(file("empty").credentials_for(&quay).unwrap(), []);
    for (helper, words) in [
        ("bad", "failed: no key"),
        ("missing", "failed: No such file"),
        ("../bad", "cannot be that of a program"),
    ] {
        let error = file(helper).credentials_for(&quay).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn credential_helpers() {
    use std::os::unix::fs::PermissionsExt;
    let dir = TempDir::new();
    for (name, script) in [
        (
            "good",
            r#"[ "$1" = get ] && read -r url; echo "{\"ServerURL\":\"\",\"Username\":\"u\",\"Secret\":\"for $url\"}""#,
        ),
        (
            "empty",
            "echo credentials not found in native keychain; exit 1",
        ),
        ("bad", "echo no key >&2; exit 1"),
    ] {
        let path = dir.path().join(format!("docker-credential-{name}"));
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "misbehaving::helper_child_process"])
        .env("PATH", dir.path())
        .env(HELPER_CHILD, "1")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}
