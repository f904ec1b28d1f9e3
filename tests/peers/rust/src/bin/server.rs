//! rmcp as a server of both generations, with the tasks extension of 2026-07-28. Stdio, or HTTP and the URL printed.

// Logging is deprecated by 2026-07-28, and what many servers do.
#![allow(deprecated)]

use std::time::Duration;

use rmcp::{
    ErrorData, RoleServer, ServerHandler, ServiceExt,
    model::*,
    service::RequestContext,
    task_manager::{TaskExit, TaskManager, TaskOptions},
    transport::{
        stdio,
        streamable_http_server::{
            StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
        },
    },
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

#[derive(Clone, Default)]
struct Peer {
    tasks: TaskManager,
}

fn made<T: DeserializeOwned>(value: Value) -> Result<T, ErrorData> {
    serde_json::from_value(value)
        .map_err(|error| ErrorData::internal_error(error.to_string(), None))
}

fn text(text: impl Into<String>) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(text)])
}

/// A tool's own error, which is a result.
fn on_purpose() -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text("on purpose")])
}

fn question() -> Result<ElicitRequestParams, ErrorData> {
    made(json!({
        "mode": "form",
        "message": "Are you sure?",
        "requestedSchema": {"type": "object", "properties": {"sure": {"type": "boolean"}}, "required": ["sure"]},
    }))
}

fn answered(answer: &Value) -> CallToolResult {
    match answer["action"].as_str() {
        Some("accept") => text(format!("sure: {}", answer["content"]["sure"])),
        other => text(format!("not answered: {}", other.unwrap_or("nothing"))),
    }
}

impl Peer {
    async fn ask(
        &self,
        request: &CallToolRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if context
            .protocol_version()
            .is_some_and(|version| version >= ProtocolVersion::V_2026_07_28)
        {
            if let Some(answer) = request
                .input_responses
                .as_ref()
                .and_then(|given| given.get("sure"))
            {
                return Ok(answered(answer).into());
            }
            let asked = InputRequests::from([(
                "sure".into(),
                InputRequest::Elicitation(ElicitRequest::new(question()?)),
            )]);
            return Ok(InputRequiredResult::new(Some(asked), Some("asked".into())).into());
        }
        let answer = context.peer.create_elicitation(question()?).await;
        let answer = answer.map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        Ok(answered(&serde_json::to_value(answer).unwrap_or_default()).into())
    }

    async fn steps(&self, count: u32, context: &RequestContext<RoleServer>) -> CallToolResult {
        for step in 1..=count {
            if let Some(token) = context.meta.get_progress_token() {
                let told = ProgressNotificationParam::new(token, step.into())
                    .with_total(count.into())
                    .with_message(format!("step {step}"));
                let _ = context.peer.notify_progress(told).await;
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        let line =
            LoggingMessageNotificationParam::new(LoggingLevel::Info, json!("all steps done"));
        let _ = context.peer.notify_logging_message(line).await;
        text("done")
    }

    fn task(&self, name: &str) -> Result<CallToolResponse, ErrorData> {
        let name = name.to_owned();
        let asked = InputRequest::Elicitation(ElicitRequest::new(question()?));
        let options = TaskOptions::default()
            .with_poll_interval_ms(50)
            .with_status_message("warming up");
        let task = self.tasks.spawn(options, move |context| {
            Box::pin(async move {
                match name.as_str() {
                    "confirm" => Ok(answered(&context.request_input("sure", asked).await?)),
                    "break" => Err(TaskExit::Error(ErrorData::internal_error("it broke", None))),
                    "fail_later" => Ok(on_purpose()),
                    "wait" => {
                        context.cancelled().await;
                        Err(TaskExit::Cancelled)
                    }
                    _ => {
                        tokio::time::sleep(Duration::from_millis(200)).await;
                        context.set_status_message("nearly there");
                        tokio::time::sleep(Duration::from_millis(200)).await;
                        Ok(text("rested"))
                    }
                }
            })
        });
        Ok(CallToolResponse::Task(CreateTaskResult::new(task)))
    }
}

impl ServerHandler for Peer {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(
            ServerCapabilities::builder()
                .enable_logging()
                .enable_prompts()
                .enable_resources()
                .enable_tools()
                .enable_tasks()
                .build(),
        )
        .with_server_info(Implementation::new("rmcp-peer", "1"))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let mut tools: Vec<Tool> = made(json!([
            {
                "name": "add",
                "description": "Adds.",
                "inputSchema": {
                    "type": "object",
                    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
                    "required": ["a", "b"],
                },
                "outputSchema": {"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]},
            },
            {
                "name": "steps",
                "inputSchema": {"type": "object", "properties": {"count": {"type": "integer", "default": 3}}},
            },
        ]))?;
        for name in [
            "fail",
            "ask",
            "rest",
            "confirm",
            "break",
            "fail_later",
            "wait",
        ] {
            tools.push(made(
                json!({"name": name, "inputSchema": {"type": "object"}}),
            )?);
        }
        Ok(ListToolsResult::with_all_items(tools))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let given = |name: &str| {
            request
                .arguments
                .as_ref()
                .and_then(|all| all.get(name))
                .and_then(Value::as_i64)
        };
        match request.name.as_ref() {
            "add" => match (given("a"), given("b")) {
                (Some(a), Some(b)) => Ok(CallToolResult::structured(json!({"sum": a + b})).into()),
                _ => Err(ErrorData::invalid_params("a and b are numbers", None)),
            },
            "fail" => Ok(on_purpose().into()),
            "ask" => self.ask(&request, &context).await,
            "steps" => Ok(self
                .steps(given("count").unwrap_or(3) as u32, &context)
                .await
                .into()),
            name @ ("rest" | "confirm" | "break" | "fail_later" | "wait") => {
                if context
                    .client_capabilities()
                    .is_some_and(|can| can.supports_tasks())
                {
                    self.task(name)
                } else {
                    Ok(text(format!("{name} without a task")).into())
                }
            }
            other => Err(ErrorData::invalid_params(
                format!("there is no tool {other}"),
                None,
            )),
        }
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        Ok(GetTaskResult::new(self.tasks.get_task(&request.task_id)?))
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.tasks
            .update_task(&request.task_id, request.input_responses)
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.tasks.cancel_task(&request.task_id)
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let all =
            made(json!([{"uri": "note://hello", "name": "hello", "mimeType": "text/plain"}]))?;
        Ok(ListResourcesResult::with_all_items(all))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let all = made(
            json!([{"uriTemplate": "note://{name}", "name": "note", "mimeType": "text/plain"}]),
        )?;
        Ok(ListResourceTemplatesResult::with_all_items(all))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        match request.uri.strip_prefix("note://") {
            Some(name) => {
                let note =
                    ResourceContents::text(format!("A note named {name}."), request.uri.clone());
                Ok(ReadResourceResult::new(vec![note]).into())
            }
            None => Err(ErrorData::resource_not_found(
                format!("there is no {}", request.uri),
                None,
            )),
        }
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let arguments = vec![PromptArgument::new("name").with_required(true)];
        Ok(ListPromptsResult::with_all_items(vec![Prompt::new(
            "greet",
            Some("Greets."),
            Some(arguments),
        )]))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let given = json!(request.arguments);
        let name = given["name"].as_str().unwrap_or("nobody");
        let message = PromptMessage::new_text(Role::User, format!("Say hello to {name}."));
        Ok(GetPromptResult::new(vec![message]).into())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    if std::env::args().nth(1).as_deref() != Some("--http") {
        Peer::default().serve(stdio()).await?.waiting().await?;
        return Ok(());
    }
    let peer = Peer::default();
    let service = StreamableHttpService::new(
        move || Ok(peer.clone()),
        LocalSessionManager::default().into(),
        StreamableHttpServerConfig::default(),
    );
    let listening = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}/mcp", listening.local_addr()?);
    axum::serve(listening, axum::Router::new().nest_service("/mcp", service)).await?;
    Ok(())
}
