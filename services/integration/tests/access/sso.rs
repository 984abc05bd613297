//! Single sign-on: the gateway behind a reverse proxy that knows who its users are, as
//! oauth2-proxy does, and behind nginx with the file of `examples`. docs/security.md has
//! both.

use std::{
    convert::Infallible,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
};

use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, combinators::BoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use modash_access::Role;
use modash_integration::{PATIENCE, Process, Reply, get, get_with, post_json};
use modash_test_support::{TokensFile, eventually};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::system::System;

const USER: &str = "x-forwarded-user";

/// The address from which the reverse proxy comes: another one than that of the test.
const FRONT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));

type Body = BoxBody<bytes::Bytes, hyper::Error>;

/// Whom a cookie of the front stands for. A real one asks an identity provider.
fn signed_in(request: &Request<Incoming>) -> Option<HeaderValue> {
    let cookie = request.headers().get("cookie")?.to_str().ok()?;
    let user = cookie.split("; ").find_map(|pair| pair.strip_prefix("front="))?;
    HeaderValue::from_str(user).ok()
}

async fn forward(
    gateway: String,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    // Whatever the client says of itself is removed.
    request.headers_mut().remove(USER);
    let Some(user) = signed_in(&request) else {
        let body = Empty::new().map_err(|never: Infallible| match never {}).boxed();
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::FOUND;
        response.headers_mut().insert("location", HeaderValue::from_static("/oauth2/start"));
        return Ok(response);
    };
    request.headers_mut().insert(USER, user);
    // `Host` stays that of the front, as with --pass-host-header.
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = format!("{gateway}{path}").parse().unwrap();
    let mut connector = HttpConnector::new();
    connector.set_local_address(Some(FRONT));
    let client: Client<_, Incoming> = Client::builder(TokioExecutor::new()).build(connector);
    Ok(client.request(request).await.unwrap().map(http_body_util::BodyExt::boxed))
}

/// Starts the reverse proxy and gives its address.
async fn front(gateway: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let gateway = gateway.clone();
            let service = service_fn(move |request| forward(gateway.clone(), request));
            let serving = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            tokio::spawn(async move {
                let _ = serving.await;
            });
        }
    });
    address
}

fn json_of(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn users_of_a_single_sign_on_front_see_the_dashboard_and_nobody_else_can_pose_as_one() {
    let file = TokensFile::new();
    let token = file.add_scoped("single sign-on", &["tag:team=x"]);
    let other = file.add("other", Role::Read);
    let directory = tempfile::tempdir().unwrap();
    let shown = directory.path().join("token");
    std::fs::write(&shown, token.expose()).unwrap();
    let settings = [
        ("MODASH_GATEWAY_TRUSTED_USER_HEADER", USER.to_owned()),
        ("MODASH_GATEWAY_TRUSTED_ADDRESSES", FRONT.to_string()),
        ("MODASH_GATEWAY_TRUSTED_USER_TOKEN_FILE", shown.display().to_string()),
    ];
    let system = System::start(file, &settings).await;
    let gateway = &system.modash.gateway;
    let address = front(gateway.clone()).await;
    let url = format!("http://{address}");

    // Nobody is signed in at the front; saying so oneself is of no use.
    for headers in [vec![], vec![(USER, "mia")]] {
        let answer = get_with(&format!("{url}/session"), &headers).await.unwrap();
        assert_eq!(answer.status, 302, "{answer:?}");
    }
    let mia = ("cookie", "front=mia");
    let who = get_with(&format!("{url}/session"), &[mia, (USER, "root")]).await.unwrap();
    assert_eq!(
        json_of(&who),
        json!({ "name": "single sign-on", "sees": "tag:team=x", "writes": false })
    );
    let page = get_with(&format!("{url}/requests"), &[mia, ("accept", "text/html")]).await.unwrap();
    assert_eq!(page.status, 200, "no page to sign in: {page:?}");
    let own = [mia, ("origin", url.as_str())];
    let answer = post_json(&format!("{url}/rpc/UsageSummary"), &own, &json!({})).await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    // The token of the front decides: it has a scope.
    let answer = post_json(&format!("{url}/rpc/Completeness"), &own, &json!({})).await.unwrap();
    assert_eq!(answer.status, 403, "{answer:?}");
    // A page of another site makes the browser send the front's cookie too.
    let evil = [mia, ("origin", "https://evil.example")];
    let answer = post_json(&format!("{url}/rpc/UsageSummary"), &evil, &json!({})).await.unwrap();
    assert_eq!(answer.status, 403, "{answer:?}");
    let mut events = {
        let client: Client<HttpConnector, Empty<bytes::Bytes>> =
            Client::builder(TokioExecutor::new()).build_http();
        let request = Request::get(format!("{url}/events")).header(mia.0, mia.1);
        client.request(request.body(Empty::new()).unwrap()).await.unwrap()
    };
    assert_eq!(events.status(), 200);
    let first = tokio::time::timeout(PATIENCE, events.body_mut().frame()).await;
    assert!(first.unwrap().is_some_and(|frame| frame.is_ok()), "no event");

    // Past the front, from an address that is not its own, the header says nothing.
    let answer = get_with(&format!("{gateway}/session"), &[(USER, "mia")]).await.unwrap();
    assert_eq!(answer.status, 401, "{answer:?}");
    let bearer = format!("Bearer {}", other.expose());
    let headers = [(USER, "mia"), ("authorization", bearer.as_str())];
    let answer = get_with(&format!("{gateway}/session"), &headers).await.unwrap();
    assert_eq!(json_of(&answer)["name"], "other", "a token counts as ever");
}

/// nginx with the file of `examples`, in which nothing but addresses and a path differ.
async fn nginx(directory: &Path, gateway: &str) -> (Process, String) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = listener.local_addr().unwrap();
    drop(listener);
    let users = directory.join("users");
    fs::write(&users, "mia:{PLAIN}secret\n").unwrap();
    let example =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/single-sign-on/nginx.conf");
    let mut example = fs::read_to_string(example).unwrap();
    for (theirs, ours) in [
        ("server 127.0.0.1:4006;", format!("server {};", gateway.replace("http://", ""))),
        ("listen 8080;", format!("listen {listen};")),
        ("/etc/nginx/modash.users;", format!("{};", users.display())),
    ] {
        assert_eq!(example.matches(theirs).count(), 1, "{theirs}");
        example = example.replace(theirs, &ours);
    }
    fs::write(directory.join("modash.conf"), example).unwrap();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("    {name}_temp_path {}/{name};\n", directory.display()))
        .concat();
    let whole = format!(
        "daemon off;\npid {0}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\n{temporary}    \
         access_log off;\n    include {0}/modash.conf;\n}}\n",
        directory.display()
    );
    fs::write(directory.join("nginx.conf"), whole).unwrap();
    // Its workers have another user.
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("nginx");
    command.arg("-p").arg(directory).arg("-c").arg(directory.join("nginx.conf"));
    command.args(["-e", "stderr"]);
    let process = Process::spawn("nginx", command);
    let url = format!("http://{listen}");
    eventually(PATIENCE, || async {
        get(&url).await.map_err(|error| format!("{error}: {}", process.output()))
    })
    .await;
    (process, url)
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_with_the_file_of_the_examples_signs_users_in_and_lets_nobody_pose_as_one() {
    let file = TokensFile::new();
    let token = file.add_scoped("single sign-on", &["tag:team=x"]);
    let directory = tempfile::tempdir().unwrap();
    let shown = directory.path().join("token");
    fs::write(&shown, token.expose()).unwrap();
    let settings = [
        ("MODASH_GATEWAY_TRUSTED_USER_HEADER", USER.to_owned()),
        ("MODASH_GATEWAY_TRUSTED_ADDRESSES", FRONT.to_string()),
        ("MODASH_GATEWAY_TRUSTED_USER_TOKEN_FILE", shown.display().to_string()),
    ];
    let system = System::start(file, &settings).await;
    let gateway = &system.modash.gateway;
    let (_nginx, url) = nginx(directory.path(), gateway).await;

    // mia:secret, and mia:wrong.
    let mia = ("authorization", "Basic bWlhOnNlY3JldA==");
    let wrong = ("authorization", "Basic bWlhOndyb25n");
    for headers in [vec![], vec![(USER, "mia")], vec![wrong], vec![wrong, (USER, "mia")]] {
        let answer = get_with(&format!("{url}/session"), &headers).await.unwrap();
        assert_eq!(answer.status, 401, "{answer:?}");
        assert!(answer.headers["www-authenticate"].to_str().unwrap().starts_with("Basic"));
    }
    let who = get_with(&format!("{url}/session"), &[mia, (USER, "root")]).await.unwrap();
    assert_eq!(
        json_of(&who),
        json!({ "name": "single sign-on", "sees": "tag:team=x", "writes": false })
    );
    let page = get_with(&format!("{url}/requests"), &[mia, ("accept", "text/html")]).await.unwrap();
    assert_eq!(page.status, 200, "no page to sign in: {page:?}");
    for (origin, expected) in [(url.as_str(), 200), ("https://evil.example", 403)] {
        let headers = [mia, ("origin", origin)];
        let asked = post_json(&format!("{url}/rpc/UsageSummary"), &headers, &json!({})).await;
        assert_eq!(asked.unwrap().status, expected, "{origin}");
    }
    let client: Client<HttpConnector, Empty<bytes::Bytes>> =
        Client::builder(TokioExecutor::new()).build_http();
    let request = Request::get(format!("{url}/events")).header(mia.0, mia.1);
    let mut events = client.request(request.body(Empty::new()).unwrap()).await.unwrap();
    assert_eq!(events.status(), 200);
    let first = tokio::time::timeout(PATIENCE, events.body_mut().frame()).await;
    assert!(first.unwrap().is_some_and(|frame| frame.is_ok()), "no event");
    // Past nginx, from an address that is not its own.
    let answer = get_with(&format!("{gateway}/session"), &[(USER, "mia")]).await.unwrap();
    assert_eq!(answer.status, 401, "{answer:?}");
}
