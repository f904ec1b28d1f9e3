// The Go SDK as a client of either generation; it has no tasks. Arguments: where the server is (a URL, or its command
// as JSON), and the version of the protocol. Prints what came of its calls as one line of JSON.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

func transport(where string) mcp.Transport {
	if strings.HasPrefix(where, "http") {
		return &mcp.StreamableClientTransport{Endpoint: where}
	}
	var command []string
	if err := json.Unmarshal([]byte(where), &command); err != nil {
		log.Fatal(err)
	}
	server := exec.Command(command[0], command[1:]...)
	server.Stderr = os.Stderr
	return &mcp.CommandTransport{Command: server}
}

func main() {
	ctx := context.Background()
	var asked []string
	var told []float64
	client := mcp.NewClient(&mcp.Implementation{Name: "go-peer", Version: "1"}, &mcp.ClientOptions{
		ElicitationHandler: func(_ context.Context, request *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			asked = append(asked, request.Params.Message)
			content := map[string]any{"username": "ada", "email": "ada@a.example", "name": "Ada"}
			return &mcp.ElicitResult{Action: "accept", Content: content}, nil
		},
		ProgressNotificationHandler: func(_ context.Context, request *mcp.ProgressNotificationClientRequest) {
			told = append(told, request.Params.Progress)
		},
	})
	session, err := client.Connect(ctx, transport(os.Args[1]), &mcp.ClientSessionOptions{ProtocolVersion: os.Args[2]})
	if err != nil {
		log.Fatal(err)
	}
	report := map[string]any{"version": session.InitializeResult().ProtocolVersion}

	call := func(name string, arguments map[string]any) (string, any) {
		params := &mcp.CallToolParams{Name: name, Arguments: arguments}
		params.SetProgressToken(name)
		result, err := session.CallTool(ctx, params)
		var refused *jsonrpc.Error
		if errors.As(err, &refused) {
			return refused.Message, refused.Code
		}
		if err != nil {
			return err.Error(), "broken"
		}
		said := ""
		for _, block := range result.Content {
			if text, ok := block.(*mcp.TextContent); ok {
				said += text.Text
			}
		}
		return said, result.IsError
	}

	var tools, resources, prompts []string
	for tool, err := range session.Tools(ctx, nil) {
		if err != nil {
			log.Fatal(err)
		}
		tools = append(tools, tool.Name)
	}
	for resource, err := range session.Resources(ctx, nil) {
		if err != nil {
			log.Fatal(err)
		}
		resources = append(resources, resource.URI)
	}
	for prompt, err := range session.Prompts(ctx, nil) {
		if err != nil {
			log.Fatal(err)
		}
		prompts = append(prompts, prompt.Name)
	}
	report["tools"], report["resources"], report["prompts"] = len(tools), len(resources), len(prompts)
	report["plain"], _ = call("greet", map[string]any{"name": "Ada"})
	report["background"], _ = call("slow_compute", map[string]any{"seconds": 0.2, "label": "x"})
	report["progress"], _ = call("test_tool_with_progress", nil)
	report["told"] = told
	var code any
	_, code = call("failing_job", nil)
	report["required"] = code
	report["toolError"], code = call("test_error_handling", nil)
	report["isError"] = code
	_, code = call("no-such-tool", nil)
	report["unknown"] = code
	if report["version"] == "2025-11-25" {
		report["input"], _ = call("test_elicitation", map[string]any{"message": "Who are you?"})
	} else {
		report["input"], _ = call("test_input_required_result_elicitation", nil)
	}
	report["asked"] = asked
	read, err := session.ReadResource(ctx, &mcp.ReadResourceParams{URI: "test://static-text"})
	if err != nil {
		log.Fatal(err)
	}
	report["read"] = read.Contents[0].Text
	if err := session.Close(); err != nil {
		report["closed"] = err.Error()
	}
	line, _ := json.Marshal(report)
	fmt.Println(string(line))
}
