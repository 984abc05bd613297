// Yesterday's tokens by model, then requests as they happen, over plain JSON, with the
// standard library only. MODASH_URL is the gateway; MODASH_TOKEN_FILE or MODASH_TOKEN has
// a token, if needed.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"time"
)

type liveRequest struct{ Phase, Model, EventID string }

func main() {
	today := time.Now().UTC().Truncate(24 * time.Hour)
	var answer struct {
		Rows []struct {
			Model string
			// Counts of 64 bits are strings in proto3 JSON.
			TotalTokens uint64 `json:",string"`
		}
	}
	body, err := json.Marshal(map[string]any{
		"range": map[string]time.Time{"start": today.AddDate(0, 0, -1), "end": today},
		"order": "MODEL_ORDER_TOTAL_TOKENS",
	})
	check(err)
	response := send("POST", "/rpc/ModelBreakdown", bytes.NewReader(body))
	check(json.NewDecoder(response).Decode(&answer))
	fmt.Println("tokens of yesterday (UTC) by model")
	for _, row := range answer.Rows {
		fmt.Printf("%12d  %s\n", row.TotalTokens, row.Model)
	}

	fmt.Println("requests as they happen")
	lines := bufio.NewScanner(send("GET", "/events", nil))
	lines.Buffer(nil, 16<<20)
	event := ""
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "event: ") {
			event = line[len("event: "):]
		}
		if !strings.HasPrefix(line, "data: ") || event == "usage-updated" {
			continue
		}
		var change struct{ Requests []liveRequest }
		check(json.Unmarshal([]byte(line[len("data: "):]), &change))
		for _, request := range change.Requests {
			phase := strings.ToLower(strings.TrimPrefix(request.Phase, "REQUEST_PHASE_"))
			fmt.Printf("%12s  %s  %s\n", phase, request.Model, request.EventID)
		}
	}
	check(lines.Err())
}

// send sends a request with the token and gives the body of a successful answer.
func send(method, path string, body io.Reader) io.Reader {
	url := os.Getenv("MODASH_URL")
	if url == "" {
		url = "http://127.0.0.1:4006"
	}
	request, err := http.NewRequest(method, url+path, body)
	check(err)
	request.Header.Set("Content-Type", "application/json")
	if token := token(); token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	check(err)
	if response.StatusCode != http.StatusOK {
		message, _ := io.ReadAll(response.Body)
		log.Fatalf("%s: %s %s", path, response.Status, message)
	}
	return response.Body
}

func token() string {
	if file := os.Getenv("MODASH_TOKEN_FILE"); file != "" {
		text, err := os.ReadFile(file)
		check(err)
		return strings.TrimSpace(string(text))
	}
	return os.Getenv("MODASH_TOKEN")
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
