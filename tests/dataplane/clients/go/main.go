// Asks as one of the tests wants, and prints what came of it: clients WHAT BASE_URL KEY RETRIES SECONDS
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
)

const model = "chat"

type raised struct {
	Status  int    `json:"status"`
	Code    string `json:"code"`
	Type    string `json:"type"`
	Message string `json:"message"`
	Param   string `json:"param"`
	Wait    string `json:"wait"`
}

type found struct {
	Said   string  `json:"said"`
	Usage  []int64 `json:"usage"`
	Raised *raised `json:"raised,omitempty"`
}

var (
	ctx      = context.Background()
	client   openai.Client
	messages = []openai.ChatCompletionMessageParamUnion{openai.UserMessage("hi")}
)

func chat(name string) func(*found) error {
	return func(out *found) error {
		answer, err := client.Chat.Completions.New(ctx, openai.ChatCompletionNewParams{Model: name, Messages: messages})
		if err == nil {
			out.Said, out.Usage = answer.Choices[0].Message.Content, append(out.Usage, answer.Usage.TotalTokens)
		}
		return err
	}
}

func stream(usage, leave bool) func(*found) error {
	return func(out *found) error {
		params := openai.ChatCompletionNewParams{Model: model, Messages: messages}
		if usage {
			params.StreamOptions.IncludeUsage = openai.Bool(true)
		}
		events := client.Chat.Completions.NewStreaming(ctx, params)
		defer events.Close()
		for events.Next() {
			chunk := events.Current()
			if len(chunk.Choices) > 0 {
				out.Said += chunk.Choices[0].Delta.Content
			}
			if chunk.JSON.Usage.Valid() {
				out.Usage = append(out.Usage, chunk.Usage.TotalTokens)
			}
			if leave && out.Said != "" {
				return nil
			}
		}
		return events.Err()
	}
}

func completions(out *found) error {
	prompt := openai.CompletionNewParamsPromptUnion{OfString: openai.String("hi")}
	answer, err := client.Completions.New(ctx, openai.CompletionNewParams{Model: model, Prompt: prompt})
	if err == nil {
		out.Said, out.Usage = answer.Choices[0].Text, append(out.Usage, answer.Usage.TotalTokens)
	}
	return err
}

func embeddings(out *found) error {
	input := openai.EmbeddingNewParamsInputUnion{OfString: openai.String("hi")}
	answer, err := client.Embeddings.New(ctx, openai.EmbeddingNewParams{Model: model, Input: input})
	if err == nil {
		text, _ := json.Marshal(answer.Data[0].Embedding)
		out.Said, out.Usage = string(text), append(out.Usage, answer.Usage.TotalTokens)
	}
	return err
}

func response() responses.ResponseNewParams {
	input := responses.ResponseNewParamsInputUnion{OfString: openai.String("hi")}
	return responses.ResponseNewParams{Model: model, Input: input}
}

func wholeResponse(out *found) error {
	answer, err := client.Responses.New(ctx, response())
	if err == nil {
		out.Said, out.Usage = answer.OutputText(), append(out.Usage, answer.Usage.TotalTokens)
	}
	return err
}

func streamedResponse(out *found) error {
	events := client.Responses.NewStreaming(ctx, response())
	defer events.Close()
	for events.Next() {
		switch event := events.Current(); event.Type {
		case "response.output_text.delta":
			out.Said += event.Delta
		case "response.completed":
			out.Usage = append(out.Usage, event.Response.Usage.TotalTokens)
		}
	}
	return events.Err()
}

func transcription(out *found) error {
	file := openai.File(bytes.NewReader([]byte("RIFF-some-sound")), "a.wav", "audio/wav")
	answer, err := client.Audio.Transcriptions.New(ctx, openai.AudioTranscriptionNewParams{Model: model, File: file})
	if err == nil {
		out.Said = answer.Text
	}
	return err
}

func models(out *found) error {
	answer, err := client.Models.List(ctx)
	if err == nil {
		names := []string{}
		for _, each := range answer.Data {
			names = append(names, each.ID)
		}
		out.Said = strings.Join(names, " ")
	}
	return err
}

var asks = map[string]func(*found) error{
	"chat":            chat(model),
	"unknown":         chat("chatt"),
	"stream":          stream(false, false),
	"streamUsage":     stream(true, false),
	"leave":           stream(false, true),
	"completions":     completions,
	"embeddings":      embeddings,
	"responses":       wholeResponse,
	"responsesStream": streamedResponse,
	"transcription":   transcription,
	"models":          models,
}

func main() {
	retries, _ := strconv.Atoi(os.Args[4])
	seconds, _ := strconv.Atoi(os.Args[5])
	client = openai.NewClient(
		option.WithBaseURL(os.Args[2]), option.WithAPIKey(os.Args[3]), option.WithMaxRetries(retries),
		option.WithRequestTimeout(time.Duration(seconds)*time.Second),
	)
	out := found{Usage: []int64{}}
	if err := asks[os.Args[1]](&out); err != nil {
		out.Raised = &raised{Message: err.Error()}
		var told *openai.Error
		if errors.As(err, &told) {
			wait := told.Response.Header.Get("retry-after")
			out.Raised = &raised{told.StatusCode, told.Code, told.Type, told.Message, told.Param, wait}
		}
	}
	text, _ := json.Marshal(out)
	fmt.Println(string(text))
}
