//! Servers that answer what no Redis does.

use super::*;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const GOOD_POLICY: &[u8] = b"$29\r\nmaxmemory_policy:noeviction\r\n\r\n";

/// Then what was said may go on, or the connection is cut.
#[derive(Clone, Copy)]
enum Then {
    Listen,
    Close,
}

/// What comes back.
#[derive(Clone)]
enum Answer {
    /// As it stands, like an error or the words of something that is no Redis.
    Bare(Vec<u8>),
    /// As a script says it, with the tag of the question.
    Tagged(Vec<u8>),
}

impl Answer {
    /// The tag is the last argument.
    fn to(&self, question: &[u8]) -> Vec<u8> {
        match self {
            Self::Bare(answer) => answer.clone(),
            Self::Tagged(answer) => {
                let tag = question.strip_suffix(b"\r\n").and_then(|question| question.last_chunk::<8>());
                [b"*2\r\n$8\r\n", tag.expect("a tag").as_slice(), b"\r\n", answer].concat()
            }
        }
    }
}

/// Answers each question with the next of `answers`, the last one again and again.
struct Scripted {
    url: String,
    connections: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
    task: tokio::task::AbortHandle,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn scripted(answers: Vec<(Answer, Then)>) -> Scripted {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free loopback port");
    let url = format!("redis://{}", listener.local_addr().expect("an address"));
    let (connections, asked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (count, asking) = (Arc::clone(&connections), Arc::clone(&asked));
    let answers = Arc::new(answers);
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(answer(stream, Arc::clone(&answers), Arc::clone(&asking)));
        }
    });
    Scripted { url, connections, asked, task: task.abort_handle() }
}

async fn answer(mut stream: TcpStream, answers: Arc<Vec<(Answer, Then)>>, asked: Arc<AtomicUsize>) {
    // A question is a single write, and the next one waits for its answer.
    let mut question = vec![0; 64 << 10];
    while let Ok(length @ 1..) = stream.read(&mut question).await {
        let question = &question[..length];
        let (answer, then) = if question.starts_with(b"*2\r\n$4\r\nINFO") {
            (GOOD_POLICY.to_vec(), Then::Listen)
        } else {
            let turn = asked.fetch_add(1, Ordering::Relaxed);
            let (answer, then) = &answers[turn.min(answers.len() - 1)];
            (answer.to(question), *then)
        };
        if stream.write_all(&answer).await.is_err() || matches!(then, Then::Close) {
            return;
        }
    }
}

fn acquired() -> (Answer, Then) {
    (Answer::Tagged(b":1\r\n".to_vec()), Then::Listen)
}

/// Whatever comes, every operation ends in time with an outage.
async fn is_an_outage(answer: Answer, then: Then) {
    let server = scripted(vec![(answer.clone(), then)]).await;
    let records = impatient(&server.url);
    let claimed = claim();
    let (Answer::Bare(shown) | Answer::Tagged(shown)) = answer;
    let shown = String::from_utf8_lossy(&shown);
    let begun = begin(&records, claimed).await;
    assert!(begun.is_err(), "{shown:?}: {begun:?}");
    let completed = complete(&records, claimed.hold, done(1)).await;
    assert!(completed.is_err(), "{shown:?}: {completed:?}");
    let renewed = records.renew(claimed.hold, LEASE, TTL).get().await;
    assert!(renewed.is_err(), "{shown:?}: {renewed:?}");
    assert!(records.release(claimed.hold).get().await.is_err(), "{shown:?}");
    assert!(records.forget(claimed.hold.name, Live::Spare).get().await.is_err(), "{shown:?}");
    assert!(server.asked.load(Ordering::Relaxed) >= 5, "{shown:?} was the answer to each");
}

#[tokio::test]
async fn an_answer_of_another_shape_is_an_outage() {
    for answer in [
        "+OK\r\n",
        ":0\r\n",
        ":-1\r\n",
        ":4\r\n",
        ":9223372036854775807\r\n",
        "$-1\r\n",
        "*0\r\n",
        "*1\r\n:1\r\n",
        "$0\r\n\r\n",
        "$3\r\nabc\r\n",
        "-\r\n",
        "-ERR\r\n",
        "-MOVED\r\n",
        "-MOVED x\r\n",
        "-MOVED 1 h:0\r\n",
        "-ASK 1 :70000\r\n",
        "-OOM\r\n",
        "_\r\n",
        "#t\r\n",
        ",1.5\r\n",
        "(1\r\n",
        "=3\r\ntxt\r\n",
        "%1\r\n:1\r\n:1\r\n",
        ">1\r\n+invalidate\r\n:9\r\n",
        "~1\r\n:1\r\n",
    ] {
        is_an_outage(Answer::Bare(answer.into()), Then::Listen).await;
        is_an_outage(Answer::Tagged(answer.into()), Then::Listen).await;
    }
}

#[tokio::test]
async fn garbage_and_cut_replies_are_outages() {
    for answer in [
        "\0\0\0",
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        ":\r\n",
        ":x\r\n",
        "$x\r\n",
        "$5\r\nab",
        "*2\r\n:1\r\n",
        "-ERR \u{7}bell",
        "",
        "$77\r\n\x01",
    ] {
        is_an_outage(Answer::Bare(answer.into()), Then::Close).await;
        is_an_outage(Answer::Tagged(answer.into()), Then::Close).await;
    }
}

#[tokio::test]
async fn a_length_beyond_all_measure_takes_no_memory_and_no_time() {
    let nested = "*1\r\n".repeat(100_000);
    for answer in [
        "$99999999999\r\n",
        "$9223372036854775807\r\n",
        "$18446744073709551616\r\n",
        "*2147483647\r\n",
        "*9223372036854775807\r\n",
        "%4611686018427387904\r\n",
        "=-1\r\nx",
        &nested,
    ] {
        let server = scripted(vec![(Answer::Bare(answer.into()), Then::Listen)]).await;
        let records = impatient(&server.url);
        let started = std::time::Instant::now();
        assert!(begin(&records, claim()).await.is_err());
        let patient = answer.starts_with('=');
        assert!(started.elapsed() < TIMEOUT / 2 || patient, "{:?} for {:.40}", started.elapsed(), answer);
    }
}

/// A record of another request, as an answer that belongs to another question would be, is not given away.
#[tokio::test]
async fn a_record_of_another_request_is_not_read() {
    let other = Hold { fingerprint: Fingerprint([8; 32]), ..claim().hold };
    let value = record::encode(&other, &done(10));
    let answer = [format!("${}\r\n", value.len()).as_bytes(), &value, b"\r\n"].concat();
    let server = scripted(vec![(Answer::Tagged(answer), Then::Listen)]).await;
    assert!(matches!(begin(&records(&server.url), claim()).await, Err(Outage::Unreadable(_))));
}

#[tokio::test]
async fn a_server_that_loads_or_waits_is_asked_once_more_on_another_connection() {
    for error in [
        "-LOADING Redis is loading the dataset in memory\r\n",
        "-MASTERDOWN Link with MASTER is down\r\n",
        "-READONLY You can't write\r\n",
        "-CLUSTERDOWN The cluster is down\r\n",
    ] {
        let once = scripted(vec![(Answer::Bare(error.into()), Then::Listen), acquired()]).await;
        assert_eq!(begin(&records(&once.url), claim()).await, Ok(Begun::Acquired), "{error}");
        assert_eq!(once.connections.load(Ordering::Relaxed), 2);
        let always = scripted(vec![(Answer::Bare(error.into()), Then::Listen)]).await;
        assert!(matches!(begin(&records(&always.url), claim()).await, Err(Outage::Unavailable(_))), "{error}");
        assert_eq!(always.connections.load(Ordering::Relaxed), 2);
    }
}

#[tokio::test]
async fn a_question_that_broke_off_is_asked_again_by_the_same_owner() {
    let server = scripted(vec![(Answer::Bare(Vec::new()), Then::Close), acquired()]).await;
    assert_eq!(begin(&records(&server.url), claim()).await, Ok(Begun::Acquired));
}
