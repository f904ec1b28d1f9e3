//! rmcp as a client of either generation, with the tasks extension of 2026-07-28. Arguments: where the server is (a URL,
//! or its command as JSON), and the version of the protocol. Prints what came of its calls as one line of JSON.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use rmcp::{
    ClientHandler, ClientLifecycleMode, ClientServiceExt, ErrorData, RoleClient, ServiceError,
    model::*,
    service::{NotificationContext, RequestContext, RunningService},
    transport::{StreamableHttpClientTransport, TokioChildProcess},
};
use serde_json::{Map, Value, json};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone, Default)]
struct Person {
    asked: Arc<Mutex<Vec<String>>>,
    told: Arc<Mutex<Vec<f64>>>,
}

impl Person {
    fn answer(&self, message: &str) -> Value {
        self.asked.lock().unwrap().push(message.to_owned());
        json!({"confirm": true, "name": "Ada", "username": "ada", "email": "ada@a.example"})
    }
}

impl ClientHandler for Person {
    fn get_info(&self) -> ClientConfig {
        let can = ClientCapabilities::builder()
            .enable_elicitation()
            .enable_tasks()
            .build();
        ClientConfig::new(can, Implementation::new("rmcp-peer", "1"))
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let ElicitRequestParams::FormElicitationParams { message, .. } = request else {
            return Ok(ElicitResult::new(ElicitationAction::Decline));
        };
        Ok(ElicitResult::new(ElicitationAction::Accept).with_content(self.answer(&message)))
    }

    async fn on_progress(
        &self,
        told: ProgressNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        self.told.lock().unwrap().push(told.progress);
    }
}

type Client = RunningService<RoleClient, Person>;

fn said(result: &Value) -> String {
    let blocks = result["content"].as_array().cloned().unwrap_or_default();
    blocks
        .iter()
        .filter_map(|block| block["text"].as_str())
        .collect()
}

fn call(name: &'static str, arguments: Value) -> CallToolRequestParams {
    let arguments: Map<String, Value> = arguments.as_object().cloned().unwrap_or_default();
    CallToolRequestParams::new(name).with_arguments(arguments)
}

fn refusal(error: ServiceError) -> Value {
    match error {
        ServiceError::McpError(error) => json!({"code": error.code.0, "message": error.message}),
        other => json!({"code": null, "message": other.to_string()}),
    }
}

async fn plain(client: &Client, name: &'static str, arguments: Value) -> Value {
    match client.call_tool(call(name, arguments)).await {
        Ok(result) => {
            json!({"text": said(&json!(result)), "isError": result.is_error.unwrap_or(false)})
        }
        Err(error) => refusal(error),
    }
}

/// What came of a task: its states, and how it ended.
async fn task(
    client: &Client,
    name: &'static str,
    arguments: Value,
    cancel: bool,
) -> Result<Value, Failure> {
    let CallToolResponse::Task(created) = client.call_tool_once(call(name, arguments)).await?
    else {
        return Ok(json!("no task"));
    };
    let id = created.task.task_id;
    let mut states = vec![json!(created.task.status)];
    if cancel {
        client
            .cancel_task(CancelTaskParams::new(id.clone()))
            .await?;
    }
    loop {
        let task = json!(client.get_task(GetTaskParams::new(id.clone())).await?);
        if states.last() != Some(&task["status"]) {
            states.push(task["status"].clone());
        }
        match task["status"].as_str().unwrap_or_default() {
            "working" => {}
            "input_required" => {
                let mut answers = InputResponses::new();
                for (key, request) in task["inputRequests"].as_object().into_iter().flatten() {
                    let content = client
                        .service()
                        .answer(request["params"]["message"].as_str().unwrap_or_default());
                    answers.insert(key.clone(), json!({"action": "accept", "content": content}));
                }
                client
                    .update_task(UpdateTaskParams::new(id.clone(), answers))
                    .await?;
            }
            status => {
                return Ok(json!({
                    "id": id,
                    "status": status,
                    "states": states,
                    "text": said(&task["result"]),
                    "isError": task["result"]["isError"],
                    "error": task["error"],
                }));
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn report(client: &Client) -> Result<Value, Failure> {
    let version = client
        .peer_info()
        .map(|info| info.protocol_version.to_string())
        .unwrap_or_default();
    let modern = version == "2026-07-28";
    let mut report = json!({
        "version": version,
        "tools": client.list_all_tools().await?.len(),
        "resources": client.list_all_resources().await?.len(),
        "prompts": client.list_all_prompts().await?.len(),
        "plain": plain(client, "greet", json!({"name": "Ada"})).await["text"],
        "progress": plain(client, "test_tool_with_progress", json!({})).await["text"],
        "toolError": plain(client, "test_error_handling", json!({})).await["text"],
        "read": json!(client.read_resource(ReadResourceRequestParams::new("test://static-text")).await?)["contents"][0]["text"],
    });
    report["told"] = json!(*client.service().told.lock().unwrap());
    if modern {
        report["input"] = plain(client, "test_input_required_result_elicitation", json!({})).await
            ["text"]
            .clone();
        report["result"] = task(
            client,
            "slow_compute",
            json!({"seconds": 0.3, "label": "x"}),
            false,
        )
        .await?;
        report["failed"] = task(client, "failing_job", json!({}), false).await?;
        report["broken"] = task(client, "protocol_error_job", json!({}), false).await?;
        report["confirmed"] = task(
            client,
            "confirm_delete",
            json!({"filename": "b.txt"}),
            false,
        )
        .await?;
        report["cancelled"] = task(client, "slow_compute", json!({"seconds": 30}), true).await?;
        let unknown = client.get_task(GetTaskParams::new("no-such-task")).await;
        report["unknown"] = unknown.err().map(refusal).unwrap_or_default();
    } else {
        report["input"] = plain(
            client,
            "test_elicitation",
            json!({"message": "Who are you?"}),
        )
        .await["text"]
            .clone();
        report["background"] = plain(
            client,
            "slow_compute",
            json!({"seconds": 0.2, "label": "x"}),
        )
        .await["text"]
            .clone();
        report["required"] = plain(client, "failing_job", json!({})).await["code"].clone();
    }
    report["asked"] = json!(*client.service().asked.lock().unwrap());
    Ok(report)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let place = std::env::args().nth(1).ok_or("where is the server?")?;
    let lifecycle = match std::env::args().nth(2).as_deref() {
        Some("2026-07-28") => ClientLifecycleMode::Discover {
            preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        },
        _ => ClientLifecycleMode::Initialize,
    };
    let client = if place.starts_with("http") {
        let transport = StreamableHttpClientTransport::from_uri(place);
        Person::default()
            .serve_with_lifecycle(transport, lifecycle)
            .await?
    } else {
        let command: Vec<String> = serde_json::from_str(&place)?;
        let mut server = tokio::process::Command::new(&command[0]);
        server.args(&command[1..]);
        Person::default()
            .serve_with_lifecycle(TokioChildProcess::new(server)?, lifecycle)
            .await?
    };
    let report = report(&client).await?;
    client.cancel().await?;
    println!("{report}");
    Ok(())
}
