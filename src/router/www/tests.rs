use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::{ACCEPT_RANGES, CONTENT_LENGTH};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;

/// Far beyond what any answer here takes: a test that would hang fails.
const LONG: Duration = Duration::from_secs(60);

fn root(files: &[(&str, &str)]) -> TempDir {
    let root = TempDir::new().unwrap();
    for (name, content) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    root
}

fn www(root: &Path) -> Www {
    let root = root.to_owned();
    let prefix = "/static/".into();
    Www::new(config::Www { root, prefix })
}

async fn ask(www: &Www, method: &str, target: &str, headers: &[(&str, &str)]) -> Response<Body> {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let parts = request.body(()).unwrap().into_parts().0;
    assert!(www.serves(parts.uri.path()), "{target}");
    timeout(LONG, www.answer(&parts)).await.unwrap()
}

async fn get(root: &TempDir, target: &str) -> Response<Body> {
    ask(&www(root.path()), "GET", target, &[]).await
}

async fn text(answer: Response<Body>) -> String {
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

fn header(answer: &Response<Body>, name: impl http::header::AsHeaderName) -> &str {
    answer
        .headers()
        .get(name)
        .map_or("", |v| v.to_str().unwrap())
}

async fn assert_serves(root: &TempDir, target: &str, content: &str) {
    let answer = get(root, target).await;
    assert_eq!(answer.status(), 200, "{target}");
    assert_eq!(text(answer).await, content, "{target}");
}

async fn assert_status(root: &TempDir, target: &str, status: u16) {
    let answer = get(root, target).await;
    assert_eq!(answer.status(), status, "{target}");
}

#[test]
fn what_is_under_the_prefix_is_served_and_nothing_else() {
    let www = www(Path::new("/srv"));
    for path in ["/static", "/static/", "/static/a", "/static//a"] {
        assert!(www.serves(path), "{path}");
    }
    for path in ["", "/", "/statics", "/staticky/a", "/api/static/", "*"] {
        assert!(!www.serves(path), "{path}");
    }
    let all = Www::new(config::Www {
        root: "/srv".into(),
        prefix: "/".into(),
    });
    assert!(all.serves("/") && all.serves("/a/b"));
}

#[tokio::test]
async fn a_file_has_the_type_of_its_name_and_its_length() {
    for (name, media_type) in [
        ("a.html", "text/html; charset=utf-8"),
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.css", "text/css; charset=utf-8"),
        ("a.txt", "text/plain; charset=utf-8"),
        ("a.yaml", "text/x-yaml; charset=utf-8"),
        ("a.json", "application/json"),
        ("a.svg", "image/svg+xml"),
        ("a.wasm", "application/wasm"),
        ("a.woff2", "font/woff2"),
        ("noextension", "application/octet-stream"),
    ] {
        let root = root(&[(name, "content")]);
        let answer = get(&root, &format!("/static/{name}")).await;
        assert_eq!(answer.status(), 200, "{name}");
        assert_eq!(header(&answer, CONTENT_TYPE), media_type, "{name}");
        assert_eq!(header(&answer, CONTENT_LENGTH), "7");
        assert_eq!(header(&answer, ACCEPT_RANGES), "bytes");
        assert_eq!(text(answer).await, "content");
    }
}

#[tokio::test]
async fn a_directory_is_its_index_and_is_redirected_to_its_slash() {
    let root = root(&[
        ("index.html", "top"),
        ("docs/index.html", "docs"),
        ("bare/a.txt", "a"),
        ("odd/index.html/a.txt", "a"),
    ]);
    assert_serves(&root, "/static/", "top").await;
    assert_serves(&root, "/static/?q=1", "top").await;
    assert_serves(&root, "/static/docs/", "docs").await;
    assert_serves(&root, "/static/docs/index.html", "docs").await;
    for (target, location) in [
        ("/static", "./static/"),
        ("/static?q=1", "./static/?q=1"),
        ("/static/docs", "./docs/"),
        ("/static/docs?a=b&c", "./docs/?a=b&c"),
        // An absolute URI keeps its host only if the client asks it.
        ("http://localhost/static/docs", "./docs/"),
        ("/static//docs", "./docs/"),
    ] {
        let answer = get(&root, target).await;
        assert_eq!(answer.status(), 301, "{target}");
        assert_eq!(header(&answer, LOCATION), location, "{target}");
    }
    for target in ["/static/bare/", "/static/odd/", "/static/bare/a.txt/"] {
        assert_status(&root, target, 404).await;
        let head = ask(&www(root.path()), "HEAD", target, &[]).await;
        assert_eq!(head.status(), 404, "HEAD {target}");
    }
}

#[tokio::test]
async fn a_redirect_stays_with_its_host_under_any_prefix() {
    let root = root(&[("evil.example/index.html", "x")]);
    let www = Www::new(config::Www {
        root: root.path().to_owned(),
        prefix: "/".into(),
    });
    let answer = ask(&www, "GET", "//evil.example", &[]).await;
    assert_eq!(header(&answer, LOCATION), "./evil.example/");
}

#[tokio::test]
async fn names_are_percent_decoded_once() {
    let root = root(&[
        ("two words.txt", "space"),
        ("grüße/naïve ☃.txt", "utf-8"),
        ("100%.txt", "percent"),
        ("%41.txt", "encoded"),
        ("a+b;c=d.txt", "marks"),
        (".hidden", "hidden"),
        ("..data.txt", "dots"),
    ]);
    for (target, content) in [
        ("/static/two%20words.txt", "space"),
        (
            "/static/gr%C3%BC%C3%9Fe/na%C3%AFve%20%E2%98%83.txt",
            "utf-8",
        ),
        ("/static/grüße/naïve%20☃.txt", "utf-8"),
        ("/static/100%25.txt", "percent"),
        ("/static/100%.txt", "percent"),
        ("/static/%2541.txt", "encoded"),
        ("/static/a+b;c=d.txt", "marks"),
        ("/static/.hidden", "hidden"),
        ("/static/..data.txt", "dots"),
    ] {
        assert_serves(&root, target, content).await;
    }
    let answer = get(&root, "/static/gr%C3%BC%C3%9Fe").await;
    assert_eq!(header(&answer, LOCATION), "./gr%C3%BC%C3%9Fe/");
    for target in ["/static/%FF.txt", "/static/%41.txt", "/static/a%20b"] {
        assert_status(&root, target, 404).await;
    }
}

#[tokio::test]
async fn no_name_leads_out_of_the_root() {
    let outer = root(&[
        ("secret.txt", "secret"),
        ("www/a.txt", "a"),
        ("www/d/b.txt", "b"),
    ]);
    let www = www(&outer.path().join("www"));
    let absolute = outer.path().join("secret.txt");
    let absolute = absolute.to_str().unwrap();
    let encoded = absolute.replace('/', "%2f");
    for below in [
        "../secret.txt",
        "d/../../secret.txt",
        "%2e%2e/secret.txt",
        "%2e%2e%2fsecret.txt",
        "..%2Fsecret.txt",
        ".%2e/secret.txt",
        "d%2f..%2f..%2fsecret.txt",
        "%252e%252e/secret.txt",
        "..%5csecret.txt",
        "..\\secret.txt",
        "a.txt%00",
        "a.txt%00.html",
        "%00",
        "..%00/secret.txt",
        "..;/secret.txt",
        "%c0%ae%c0%ae/secret.txt",
        &format!("/{absolute}"),
        &encoded,
        &format!("%2f{encoded}"),
        &format!("file:{absolute}"),
        &"a".repeat(300),
        &"a/".repeat(3000),
    ] {
        for method in ["GET", "HEAD"] {
            let answer = ask(&www, method, &format!("/static/{below}"), &[]).await;
            assert_eq!(answer.status(), 404, "{method} {below}");
            assert_eq!(text(answer).await, "404 Not Found\n");
        }
    }
    assert_eq!(ask(&www, "GET", "/static/a.txt", &[]).await.status(), 200);
}

#[tokio::test]
async fn symbolic_links_work_inside_the_root_and_lead_nowhere_out_of_it() {
    let outer = root(&[
        ("secret/index.html", "secret"),
        ("www-other/a.txt", "secret"),
        ("www/real/index.html", "inside"),
    ]);
    let www_dir = outer.path().join("www");
    let link = |to: &Path, name: &str| symlink(to, www_dir.join(name)).unwrap();
    link(Path::new("real/index.html"), "file");
    link(Path::new("real"), "dir");
    link(&www_dir.join("real"), "absolute");
    link(Path::new("../www/real"), "around");
    link(Path::new("../secret"), "out");
    link(&outer.path().join("secret"), "out-absolute");
    link(Path::new("../secret/index.html"), "out-file");
    link(Path::new("../www-other"), "sibling");
    link(Path::new("out"), "chain");
    link(Path::new("missing"), "dangling");
    link(Path::new("/proc/self/root"), "magic");
    link(Path::new("/proc/self/cwd"), "magic-cwd");
    let www = www(&www_dir);
    for inside in ["file", "dir/", "dir/index.html", "absolute/", "around/"] {
        let answer = ask(&www, "GET", &format!("/static/{inside}"), &[]).await;
        assert_eq!(answer.status(), 200, "{inside}");
        assert_eq!(text(answer).await, "inside", "{inside}");
    }
    for out in [
        "out",
        "out/",
        "out/index.html",
        "out-absolute/",
        "out-file",
        "sibling/a.txt",
        "chain/",
        "dangling",
        "magic/etc/passwd",
        "magic-cwd/Cargo.toml",
    ] {
        for method in ["GET", "HEAD"] {
            let answer = ask(&www, method, &format!("/static/{out}"), &[]).await;
            assert_eq!(answer.status(), 404, "{method} {out}");
            assert_eq!(text(answer).await, "404 Not Found\n");
        }
    }
}

#[tokio::test]
async fn a_root_that_is_a_link_or_is_replaced_is_followed() {
    let outer = root(&[("v1/a.txt", "one"), ("v2/a.txt", "two")]);
    let current = outer.path().join("current");
    let www = www(&current);
    let target = "/static/a.txt";
    assert_eq!(ask(&www, "GET", target, &[]).await.status(), 404);
    symlink("v1", &current).unwrap();
    assert_eq!(text(ask(&www, "GET", target, &[]).await).await, "one");
    fs::remove_file(&current).unwrap();
    symlink("v2", &current).unwrap();
    assert_eq!(text(ask(&www, "GET", target, &[]).await).await, "two");
}

/// What the kubelet does for a ConfigMap volume: a new directory, a link renamed over the old
/// one, the old directory removed.
#[tokio::test]
async fn a_mounted_volume_is_followed_through_its_swaps() {
    let volume = root(&[("..2026_01/index.html", "old"), ("..2026_01/a.txt", "old")]);
    let at = |name: &str| volume.path().join(name);
    symlink("..2026_01", at("..data")).unwrap();
    symlink("..data/index.html", at("index.html")).unwrap();
    symlink("..data/a.txt", at("a.txt")).unwrap();
    assert_serves(&volume, "/static/", "old").await;
    let before = get(&volume, "/static/a.txt").await;
    let etag = header(&before, ETAG).to_owned();

    fs::create_dir(at("..2026_02")).unwrap();
    fs::write(at("..2026_02/index.html"), "new").unwrap();
    fs::write(at("..2026_02/a.txt"), "new").unwrap();
    let later = SystemTime::now() + Duration::from_secs(5);
    let file = fs::File::open(at("..2026_02/a.txt")).unwrap();
    file.set_modified(later).unwrap();
    symlink("..2026_02", at("..data_tmp")).unwrap();
    fs::rename(at("..data_tmp"), at("..data")).unwrap();
    fs::remove_dir_all(at("..2026_01")).unwrap();

    assert_eq!(
        text(before).await,
        "old",
        "what was open is served to its end"
    );
    assert_serves(&volume, "/static/", "new").await;
    let held = [("if-none-match", &*etag)];
    let after = ask(&www(volume.path()), "GET", "/static/a.txt", &held).await;
    assert_eq!(after.status(), 200);
    assert_eq!(text(after).await, "new");
}

#[test]
fn what_is_gone_is_looked_for_once_more() {
    for (failures, found, looks) in [(0, true, 1), (1, true, 2), (2, false, 2)] {
        let mut looked = 0;
        let result = beneath::again(|| {
            looked += 1;
            if looked <= failures {
                return Err(ErrorKind::NotFound.into());
            }
            Ok(())
        });
        assert_eq!((result.is_ok(), looked), (found, looks));
    }
    let mut looked = 0;
    let denied: io::Result<()> = beneath::again(|| {
        looked += 1;
        Err(ErrorKind::PermissionDenied.into())
    });
    assert!(denied.is_err());
    assert_eq!(looked, 1);
}

#[tokio::test]
async fn only_regular_files_are_served() {
    let root = root(&[("a.txt", "a")]);
    let fifo = root.path().join("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.path().join("socket")).unwrap();
    for name in ["fifo", "socket"] {
        for method in ["GET", "HEAD"] {
            let answer = ask(&www(root.path()), method, &format!("/static/{name}"), &[]).await;
            assert_eq!(answer.status(), 404, "{method} {name}");
        }
    }
    let devices = www(Path::new("/dev"));
    let answer = ask(&devices, "GET", "/static/zero", &[]).await;
    assert_eq!(answer.status(), 404);
}

#[tokio::test]
async fn conditions_hold_as_rfc_9110_says() {
    let root = root(&[("a.txt", "content")]);
    let www = www(root.path());
    let answer = ask(&www, "GET", "/static/a.txt", &[]).await;
    let (etag, date) = (header(&answer, ETAG), header(&answer, LAST_MODIFIED));
    assert!(
        etag.starts_with('"') && date.ends_with("GMT"),
        "{etag} {date}"
    );
    let (weak, several) = (format!("W/{etag}"), format!("\"x\", {etag}"));
    let (old, new) = (
        "Mon, 01 Jan 2001 00:00:00 GMT",
        "Fri, 01 Jan 2100 00:00:00 GMT",
    );
    let none_match = "if-none-match";
    let since = "if-modified-since";
    for (headers, status) in [
        (vec![(none_match, etag)], 304),
        (vec![(none_match, &weak)], 304),
        (vec![(none_match, &several)], 304),
        (vec![(none_match, "*")], 304),
        (vec![(none_match, "\"x\"")], 200),
        (vec![(since, date)], 304),
        (vec![(since, new)], 304),
        (vec![(since, old)], 200),
        (vec![(since, "yesterday")], 200),
        (vec![(none_match, "\"x\""), (since, date)], 200),
        (vec![("if-match", etag)], 200),
        (vec![("if-match", "\"x\"")], 412),
        (vec![("if-unmodified-since", old)], 412),
        (vec![("if-unmodified-since", date)], 200),
    ] {
        for method in ["GET", "HEAD"] {
            let answer = ask(&www, method, "/static/a.txt", &headers).await;
            assert_eq!(answer.status(), status, "{method} {headers:?}");
            if status == 304 {
                assert_eq!(header(&answer, ETAG), etag);
                assert_eq!(text(answer).await, "");
            }
        }
    }
}

#[tokio::test]
async fn files_without_a_telling_date_have_no_validator() {
    let root = root(&[("a.txt", "content")]);
    let file = fs::File::open(root.path().join("a.txt")).unwrap();
    let epoch = SystemTime::UNIX_EPOCH;
    for date in [epoch, epoch - Duration::from_secs(86_400)] {
        file.set_modified(date).unwrap();
        let since = [("if-modified-since", "Fri, 01 Jan 2100 00:00:00 GMT")];
        let answer = ask(&www(root.path()), "GET", "/static/a.txt", &since).await;
        assert_eq!(answer.status(), 200);
        assert!(!answer.headers().contains_key(ETAG));
        assert!(!answer.headers().contains_key(LAST_MODIFIED));
    }
}

#[tokio::test]
async fn ranges_are_parts_of_the_file() {
    let root = root(&[("a.txt", "0123456789"), ("empty.txt", "")]);
    let www = www(root.path());
    for (file, range, status, extent, content) in [
        ("a.txt", "bytes=0-3", 206, "bytes 0-3/10", "0123"),
        ("a.txt", "bytes=4-", 206, "bytes 4-9/10", "456789"),
        ("a.txt", "bytes=-3", 206, "bytes 7-9/10", "789"),
        ("a.txt", "bytes=8-99", 206, "bytes 8-9/10", "89"),
        ("a.txt", "bytes=9-9", 206, "bytes 9-9/10", "9"),
        ("a.txt", "bytes=-99", 200, "", "0123456789"),
        ("a.txt", "bytes=0-1,4-5", 200, "", "0123456789"),
        ("a.txt", "lines=0-1", 200, "", "0123456789"),
        ("a.txt", "bytes=10-", 416, "bytes */10", ""),
        ("a.txt", "bytes=-0", 416, "bytes */10", ""),
        ("a.txt", "bytes=5-2", 416, "bytes */10", ""),
        ("a.txt", "bytes=a-b", 416, "bytes */10", ""),
        ("empty.txt", "bytes=0-", 200, "", ""),
        ("empty.txt", "bytes=-5", 200, "", ""),
    ] {
        let target = format!("/static/{file}");
        let answer = ask(&www, "GET", &target, &[("range", range)]).await;
        assert_eq!(answer.status(), status, "{range}");
        assert_eq!(header(&answer, CONTENT_RANGE), extent, "{range}");
        if status == 416 {
            assert_eq!(text(answer).await, "416 Range Not Satisfiable\n");
            continue;
        }
        assert_eq!(header(&answer, CONTENT_LENGTH), content.len().to_string());
        assert_eq!(header(&answer, CONTENT_TYPE), "text/plain; charset=utf-8");
        assert_eq!(text(answer).await, content, "{file} {range}");
    }
    let head = ask(&www, "HEAD", "/static/a.txt", &[("range", "bytes=0-3")]).await;
    assert_eq!(head.status(), 200);
    assert_eq!(header(&head, CONTENT_LENGTH), "10");
}

#[tokio::test]
async fn a_part_is_sent_only_of_the_file_the_client_holds() {
    let root = root(&[("a.txt", "0123456789")]);
    let www = www(root.path());
    let answer = ask(&www, "GET", "/static/a.txt", &[]).await;
    let (etag, date) = (header(&answer, ETAG), header(&answer, LAST_MODIFIED));
    let weak = format!("W/{etag}");
    for (held, range, status, content) in [
        (etag, "bytes=4-", 206, "456789"),
        (date, "bytes=4-", 206, "456789"),
        ("\"x\"", "bytes=4-", 200, "0123456789"),
        (&weak, "bytes=4-", 200, "0123456789"),
        (
            "Mon, 01 Jan 2001 00:00:00 GMT",
            "bytes=4-",
            200,
            "0123456789",
        ),
        ("\"x\"", "bytes=99-", 200, "0123456789"),
        (etag, "bytes=99-", 416, "416 Range Not Satisfiable\n"),
    ] {
        let headers = [("if-range", held), ("range", range)];
        let answer = ask(&www, "GET", "/static/a.txt", &headers).await;
        assert_eq!(answer.status(), status, "{held} {range}");
        assert_eq!(text(answer).await, content, "{held} {range}");
    }
}

#[tokio::test]
async fn other_methods_are_refused() {
    let root = root(&[("a.txt", "a")]);
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let answer = ask(&www(root.path()), method, "/static/a.txt", &[]).await;
        assert_eq!(answer.status(), 405, "{method}");
        assert_eq!(header(&answer, ALLOW), "GET, HEAD");
        assert_eq!(header(&answer, CONTENT_TYPE), "text/plain; charset=utf-8");
        assert_eq!(
            header(&answer, http::header::X_CONTENT_TYPE_OPTIONS),
            "nosniff"
        );
    }
}

#[test]
fn errors_are_answered_as_go_does() {
    for (error, expected) in [
        (rustix::io::Errno::NOENT, 404),
        (rustix::io::Errno::NOTDIR, 404),
        (rustix::io::Errno::NAMETOOLONG, 404),
        (rustix::io::Errno::ACCESS, 403),
        (rustix::io::Errno::PERM, 403),
        (rustix::io::Errno::IO, 500),
        (rustix::io::Errno::MFILE, 500),
    ] {
        assert_eq!(status(&error.into()), expected, "{error}");
    }
}

#[tokio::test]
async fn a_link_that_leads_to_itself_is_an_error() {
    let root = root(&[]);
    symlink("loop", root.path().join("loop")).unwrap();
    assert_status(&root, "/static/loop", 500).await;
}

#[tokio::test]
async fn a_large_file_comes_in_small_pieces() {
    let root = root(&[]);
    let size = 200 << 20;
    let file = fs::File::create(root.path().join("large")).unwrap();
    file.set_len(size).unwrap();
    let mut body = get(&root, "/static/large").await.into_body();
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        let chunk = frame.unwrap().into_data().unwrap();
        assert!(chunk.len() <= CHUNK);
        read += chunk.len() as u64;
    }
    assert_eq!(read, size);
}

#[tokio::test]
async fn a_file_that_grows_is_served_as_long_as_it_was() {
    let root = root(&[("a.txt", "0123456789")]);
    let answer = get(&root, "/static/a.txt").await;
    fs::write(root.path().join("a.txt"), "0123456789abc").unwrap();
    assert_eq!(text(answer).await, "0123456789");
}

/// A connection to hyper, and how hyper's side of it ends.
fn connect(root: &TempDir) -> (DuplexStream, JoinHandle<hyper::Result<()>>) {
    let (client, server) = tokio::io::duplex(4096);
    let www = Arc::new(www(root.path()));
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let www = Arc::clone(&www);
        async move { Ok::<_, io::Error>(www.answer(&request.into_parts().0).await) }
    });
    let http = hyper::server::conn::http1::Builder::new();
    let serving = http.serve_connection(TokioIo::new(server), service);
    (client, tokio::spawn(serving))
}

async fn read_to_end(client: &mut DuplexStream) -> Vec<u8> {
    let mut received = Vec::new();
    let read = client.read_to_end(&mut received);
    timeout(LONG, read).await.unwrap().unwrap();
    received
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let root = root(&[("a.txt", "0123456789")]);
    let ask = async |method: &str| {
        let (mut client, serving) = connect(&root);
        let request = format!("{method} /static/a.txt HTTP/1.1\r\nconnection: close\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        let answer = read_to_end(&mut client).await;
        serving.await.unwrap().unwrap();
        String::from_utf8(answer).unwrap()
    };
    let fields = |answer: &str| {
        let (head, _) = answer.split_once("\r\n\r\n").unwrap();
        let fields = head.lines().filter(|line| !line.starts_with("date:"));
        fields.map(str::to_owned).collect::<Vec<_>>()
    };
    let (head, get) = (ask("HEAD").await, ask("GET").await);
    assert_eq!(fields(&head), fields(&get));
    assert!(head.contains("content-length: 10\r\n"), "{head}");
    assert!(head.ends_with("\r\n\r\n"), "{head}");
    assert!(get.ends_with("\r\n\r\n0123456789"), "{get}");
}

#[tokio::test]
async fn a_file_cut_short_ends_the_connection() {
    let root = root(&[("a.txt", "0123456789")]);
    let answer = get(&root, "/static/a.txt").await;
    fs::write(root.path().join("a.txt"), "0123").unwrap();
    let mut body = answer.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "0123");
    let error = body.frame().await.unwrap().unwrap_err();
    let error = error.downcast::<io::Error>().unwrap();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);

    // Over a connection: many pieces, of which the client reads few before the file shrinks.
    let path = root.path().join("large");
    fs::write(&path, vec![b'x'; 1 << 20]).unwrap();
    let (mut client, serving) = connect(&root);
    let request = b"GET /static/large HTTP/1.1\r\n\r\n";
    client.write_all(request).await.unwrap();
    let mut start = [0; 1024];
    client.read_exact(&mut start).await.unwrap();
    fs::write(&path, "x").unwrap();
    let rest = read_to_end(&mut client).await;
    assert!(start.len() + rest.len() < 1 << 20);
    assert!(serving.await.unwrap().is_err());
}
