// The Go SDK as a server of both generations. Stdio, or with -http a free port, and the URL printed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

type numbers struct {
	A int `json:"a"`
	B int `json:"b"`
}

type sum struct {
	Sum int `json:"sum"`
}

type count struct {
	Count int `json:"count,omitempty"`
}

type nothing struct{}

func text(text string) *mcp.CallToolResult {
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}
}

func add(_ context.Context, _ *mcp.CallToolRequest, given numbers) (*mcp.CallToolResult, sum, error) {
	return nil, sum{given.A + given.B}, nil
}

func fail(context.Context, *mcp.CallToolRequest, nothing) (*mcp.CallToolResult, any, error) {
	return nil, nil, errors.New("on purpose")
}

// What is asked in a result of 2026-07-28 the SDK asks by a request where somebody speaks 2025-11-25.
func ask(_ context.Context, request *mcp.CallToolRequest, _ nothing) (*mcp.CallToolResult, any, error) {
	answer, ok := request.Params.InputResponses["sure"].(*mcp.ElicitResult)
	if !ok {
		question := &mcp.ElicitParams{Message: "Are you sure?", RequestedSchema: &jsonschema.Schema{
			Type:       "object",
			Properties: map[string]*jsonschema.Schema{"sure": {Type: "boolean"}},
			Required:   []string{"sure"},
		}}
		return &mcp.CallToolResult{
			InputRequests: mcp.InputRequestMap{"sure": question},
			RequestState:  "asked",
		}, nil, nil
	}
	if answer.Action != "accept" {
		return text("not answered: " + answer.Action), nil, nil
	}
	return text(fmt.Sprintf("sure: %v", answer.Content["sure"])), nil, nil
}

func steps(ctx context.Context, request *mcp.CallToolRequest, given count) (*mcp.CallToolResult, any, error) {
	if given.Count == 0 {
		given.Count = 3
	}
	for step := 1; step <= given.Count; step++ {
		if token := request.Params.GetProgressToken(); token != nil {
			request.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{
				ProgressToken: token,
				Progress:      float64(step),
				Total:         float64(given.Count),
				Message:       fmt.Sprintf("step %d", step),
			})
		}
		time.Sleep(30 * time.Millisecond)
	}
	request.Session.Log(ctx, &mcp.LoggingMessageParams{Level: "info", Data: "all steps done"})
	return text("done"), nil, nil
}

func read(_ context.Context, request *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
	name := strings.TrimPrefix(request.Params.URI, "note://")
	note := &mcp.ResourceContents{URI: request.Params.URI, MIMEType: "text/plain", Text: "A note named " + name + "."}
	return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{note}}, nil
}

func greet(_ context.Context, request *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
	said := &mcp.TextContent{Text: "Say hello to " + request.Params.Arguments["name"] + "."}
	return &mcp.GetPromptResult{Messages: []*mcp.PromptMessage{{Role: "user", Content: said}}}, nil
}

func main() {
	overHTTP := flag.Bool("http", false, "serve streamable HTTP")
	flag.Parse()

	server := mcp.NewServer(&mcp.Implementation{Name: "go-peer", Version: "1"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: "add", Description: "Adds."}, add)
	mcp.AddTool(server, &mcp.Tool{Name: "fail"}, fail)
	mcp.AddTool(server, &mcp.Tool{Name: "ask"}, ask)
	mcp.AddTool(server, &mcp.Tool{Name: "steps"}, steps)
	server.AddResource(&mcp.Resource{Name: "hello", URI: "note://hello", MIMEType: "text/plain"}, read)
	server.AddResourceTemplate(&mcp.ResourceTemplate{Name: "note", URITemplate: "note://{name}", MIMEType: "text/plain"}, read)
	arguments := []*mcp.PromptArgument{{Name: "name", Required: true}}
	server.AddPrompt(&mcp.Prompt{Name: "greet", Description: "Greets.", Arguments: arguments}, greet)

	if !*overHTTP {
		if err := server.Run(context.Background(), &mcp.StdioTransport{}); err != nil {
			log.Fatal(err)
		}
		return
	}
	one := func(*http.Request) *mcp.Server { return server }
	// A handler with sessions speaks 2025-11-25 only, one without them both: so there is one of each.
	paths := http.NewServeMux()
	paths.Handle("/mcp", mcp.NewStreamableHTTPHandler(one, &mcp.StreamableHTTPOptions{Stateless: true}))
	paths.Handle("/sessions", mcp.NewStreamableHTTPHandler(one, nil))
	listening, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("http://%s/mcp\n", listening.Addr())
	log.Fatal(http.Serve(listening, paths))
}
