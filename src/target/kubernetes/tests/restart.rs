//! The API server goes and comes, and so do the credentials for it.

use std::time::{Duration, Instant};

use super::*;

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_mins(5);

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_goes_in_the_middle_of_an_apply_and_comes_again_loses_nothing() {
    let Some(server) = Server::own("restarted").await else { return };
    let world = World { server, client: server.client().await, name: "restarted" };
    let target = world.target_with(|options| options.watch = true).await;
    let objects = (0..30).map(|index| world.config_map(&format!("m{index}"), "1"));
    let release = world.release("r1", [world.namespace()].into_iter().chain(objects).collect());
    let writes = AtomicUsize::new(0);
    let go_on = || {
        if writes.fetch_add(1, Ordering::SeqCst) == 12 {
            server.stop();
        }
        true
    };
    let error = target.apply(&release, &go_on).await.unwrap_err();
    assert!(matches!(error.retry, Retry::Later(_)), "{error:?}");
    assert_eq!(error.problems[0].code, ErrorCode::TargetUnavailable);
    let created = error.outcomes.iter().filter(|it| it.action == Action::Created).count();
    assert!((1..31).contains(&created), "{created}");
    server.start_again().await;
    assert_eq!(target.applied().await, Ok(None), "what is there is told not to be whole");
    target.apply(&release, &always).await.unwrap();
    assert_eq!(target.applied().await, Ok(Some("r1".to_owned())));
    for index in 0..30 {
        assert!(world.config(&format!("m{index}")).await.is_some(), "{index}");
    }

    // The watches find their way back, and see what happens from then on.
    server.stop();
    server.start_again().await;
    let path = "/api/v1/namespaces/restarted/configmaps/m7";
    world.send("PATCH", path, "application/merge-patch+json", &json!({"data": {"key": "2"}})).await;
    let seen = async {
        loop {
            target.changed().await;
            match target.drift(&release).await {
                Ok(found) if found.is_empty() => {}
                Ok(found) => return found,
                Err(error) => assert!(matches!(error.retry, Retry::Later(_)), "{error:?}"),
            }
        }
    };
    let seen = tokio::time::timeout(PATIENCE, seen).await.unwrap();
    assert_eq!(seen, ["ConfigMap/restarted/m7"]);
}

#[tokio::test]
async fn a_token_that_was_rotated_is_read_again_without_a_restart() {
    let Some(world) = World::new("rotated").await else { return };
    let text = std::fs::read_to_string(world.server.admin()).unwrap();
    let mut kubeconfig: Value = serde_json::from_str(&text).unwrap();
    let folder = tempfile::TempDir::new().unwrap();
    let token = folder.path().join("token");
    let good = kubeconfig["users"][0]["user"]["token"].as_str().unwrap().to_owned();
    kubeconfig["users"][0]["user"] = json!({"tokenFile": token});
    let path = folder.path().join("kubeconfig");
    std::fs::write(&path, kubeconfig.to_string()).unwrap();
    std::fs::write(&token, "one-that-is-no-longer-valid").unwrap();
    let target = world.target_with(|options| options.cluster.kubeconfig = Some(path)).await;
    let release = world.release("r1", vec![world.namespace(), world.config_map("a", "1")]);
    let error = target.apply(&release, &always).await.unwrap_err();
    assert_eq!((error.retry, error.problems[0].code), (Retry::Later(None), ErrorCode::TargetUnavailable));
    std::fs::write(&token, good).unwrap();
    let began = Instant::now();
    while target.apply(&release, &always).await.is_err() {
        assert!(began.elapsed() < PATIENCE, "never read again");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(target.applied().await, Ok(Some("r1".to_owned())));
}
