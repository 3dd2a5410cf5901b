// Verify an audit export with the note and tlog packages of the Go project:
//
//	GO111MODULE=off GOPATH=/usr/share/gocode go run verify_export.go DIR [VKEY]
//
// The tree is computed from the records and compared with the root that the checkpoint signs and with every tile; every
// proof is checked against the same root. A key that follows another must have been handed over by it. Exit code 1 names
// the first bad thing.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	height      = 8 // of a tile: 256 hashes
	width       = 1 << height
	proofHeader = "c2sp.org/tlog-proof@v1"
	keyRotated  = 20 // the kind of a record that names the next key
)

// export is a folder under the checkpoint that its key signed.
type export struct {
	folder     string
	checkpoint string
	tree       tlog.Tree
	Kept       int64 `json:"min_index"` // what lies before was pruned
	First      int64 `json:"first"`
	End        int64 `json:"end"`
}

func main() {
	if len(os.Args) < 2 || len(os.Args) > 3 {
		fail("use: verify_export DIR [VKEY]")
	}
	opened, err := open(os.Args[1], os.Args[2:])
	check(err)
	check(opened.checkTree())
	proofs, err := opened.checkProofs()
	check(err)
	fmt.Printf("Verified: records %d to %d of %d, %d proofs\n", opened.First, opened.End-1, opened.tree.N, proofs)
}

// open checks the signature of the checkpoint. A key that is given must be one of the log's.
func open(folder string, keys []string) (*export, error) {
	chain, err := handedOver(folder)
	if err != nil {
		return nil, err
	}
	if len(keys) == 1 && !contains(chain, strings.TrimSpace(keys[0])) {
		return nil, fmt.Errorf("the export is not signed with the key that was given")
	}
	verifier, err := note.NewVerifier(chain[len(chain)-1])
	if err != nil {
		return nil, err
	}
	signed, err := os.ReadFile(filepath.Join(folder, "checkpoint"))
	if err != nil {
		return nil, err
	}
	opened, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	tree, err := parseTree(opened.Text, verifier.Name())
	if err != nil {
		return nil, err
	}
	found := &export{folder: folder, checkpoint: string(signed), tree: tree}
	says, err := os.ReadFile(filepath.Join(folder, "export.json"))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(says, found); err != nil {
		return nil, fmt.Errorf("export.json: %w", err)
	}
	if found.Kept < 0 || found.Kept%width != 0 || found.First < found.Kept || found.First%width != 0 || found.End <= found.First || found.End > tree.N {
		return nil, fmt.Errorf("export.json names records that cannot be")
	}
	return found, nil
}

// handedOver returns the log's keys: the first one, and each that the key before it handed the log over to. Which they
// are stands in the policy; that a key follows, in a record which is the last of a tree that both keys signed.
func handedOver(folder string) ([]string, error) {
	policy, err := os.ReadFile(filepath.Join(folder, "tlog-policy"))
	if err != nil {
		return nil, err
	}
	own, err := os.ReadFile(filepath.Join(folder, "verifier.key"))
	if err != nil {
		return nil, err
	}
	var chain []string
	for _, line := range strings.Split(string(policy), "\n") {
		if strings.HasPrefix(line, "log ") {
			chain = append(chain, line[len("log "):])
		}
	}
	names, err := filepath.Glob(filepath.Join(folder, "keys", "*.entry"))
	if err != nil {
		return nil, err
	}
	var sizes []int
	for _, name := range names {
		size, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(name), ".entry"))
		if err != nil || size < 1 {
			return nil, fmt.Errorf("%s names no size", name)
		}
		sizes = append(sizes, size)
	}
	sort.Ints(sizes)
	if len(chain) != len(sizes)+1 || chain[0] != strings.TrimSpace(string(own)) {
		return nil, fmt.Errorf("tlog-policy does not name the keys that were handed over")
	}
	for at, size := range sizes {
		if err := checkHandover(filepath.Join(folder, "keys"), int64(size), chain[at], chain[at+1]); err != nil {
			return nil, fmt.Errorf("keys/%d: %w", size, err)
		}
	}
	return chain, nil
}

func checkHandover(folder string, size int64, old, new string) error {
	entry, err := os.ReadFile(filepath.Join(folder, fmt.Sprintf("%d.entry", size)))
	if err != nil {
		return err
	}
	content, err := os.ReadFile(filepath.Join(folder, fmt.Sprintf("%d.tlog-proof", size)))
	if err != nil {
		return err
	}
	seq, proof, signed, err := parseProof(content)
	if err != nil {
		return err
	}
	body := append([]byte{0x94, keyRotated, 0xd9, byte(len(new))}, new...) // MessagePack: 4 fields, kind, text
	if len(new) > 255 || seq != size-1 || !bytes.Contains(entry, body) {
		return fmt.Errorf("the record does not name the next key")
	}
	for _, key := range []string{old, new} {
		verifier, err := note.NewVerifier(key)
		if err != nil {
			return err
		}
		opened, err := note.Open([]byte(signed), note.VerifierList(verifier))
		if err != nil {
			return err
		}
		tree, err := parseTree(opened.Text, verifier.Name())
		if err != nil {
			return err
		}
		if tree.N != size {
			return fmt.Errorf("the record is not the last one of the tree that was signed")
		}
		if err := tlog.CheckRecord(proof, size, tree.Hash, seq, tlog.RecordHash(entry)); err != nil {
			return err
		}
	}
	return nil
}

func contains(chain []string, key string) bool {
	for _, known := range chain {
		if known == key {
			return true
		}
	}
	return false
}

// parseTree reads the text of a C2SP checkpoint: origin, size, root.
func parseTree(text, origin string) (tree tlog.Tree, err error) {
	lines := strings.Split(text, "\n")
	if len(lines) < 4 || lines[0] != origin {
		return tree, fmt.Errorf("checkpoint: not one of %s", origin)
	}
	if tree.N, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return tree, fmt.Errorf("checkpoint: %w", err)
	}
	tree.Hash, err = tlog.ParseHash(lines[2])
	return tree, err
}

// numbered returns an index in the path form of C2SP tlog-tiles.
func numbered(index int64, count int) string {
	name := fmt.Sprintf("%03d", index%1000)
	for index >= 1000 {
		index /= 1000
		name = fmt.Sprintf("x%03d/%s", index%1000, name)
	}
	if count < width {
		name += fmt.Sprintf(".p/%d", count)
	}
	return name
}

// tile returns a file of the hash tree.
func (e *export) tile(tile tlog.Tile) ([]byte, error) {
	name := "tile/" + strconv.Itoa(tile.L) + "/" + numbered(tile.N, tile.W)
	content, err := os.ReadFile(filepath.Join(e.folder, name))
	if err == nil && len(content) != tile.W*tlog.HashSize {
		return nil, fmt.Errorf("%s does not hold %d hashes", name, tile.W)
	}
	return content, err
}

// count returns how many records a bundle holds.
func (e *export) count(index int64) int {
	if rest := e.tree.N - index*width; rest < width {
		return int(rest)
	}
	return width
}

// bundle returns the records of a bundle.
func (e *export) bundle(index int64) ([][]byte, error) {
	count := e.count(index)
	name := "tile/entries/" + numbered(index, count)
	content, err := os.ReadFile(filepath.Join(e.folder, name))
	if err != nil {
		return nil, err
	}
	var entries [][]byte
	for len(content) >= 2 {
		end := 2 + int(binary.BigEndian.Uint16(content))
		if end > len(content) {
			break
		}
		entries = append(entries, content[2:end])
		content = content[end:]
	}
	if len(content) != 0 || len(entries) != count {
		return nil, fmt.Errorf("%s does not hold %d records", name, count)
	}
	return entries, nil
}

// checkTree computes the tree from its leaves and compares root and tiles. It holds two hashes per record in memory.
//
// A tlog.TileHashReader would need less, but up to version 0.7 of the package it does not authenticate the first full
// tiles of a tree whose right edge has more parts than tiles.
func (e *export) checkTree() error {
	stored := map[int64]tlog.Hash{}
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		found := make([]tlog.Hash, len(indexes))
		for at, index := range indexes {
			hash, ok := stored[index]
			if !ok {
				return nil, fmt.Errorf("a hash of the tree is not here")
			}
			found[at] = hash
		}
		return found, nil
	})
	if err := e.readPruned(stored); err != nil {
		return err
	}
	for index := e.Kept / width; index*width < e.tree.N; index++ {
		leaves, err := e.leafHashes(index)
		if err != nil {
			return err
		}
		for at, leaf := range leaves {
			seq := index*width + int64(at)
			grown, err := tlog.StoredHashesForRecordHash(seq, leaf, reader)
			if err != nil {
				return err
			}
			first := tlog.StoredHashIndex(0, seq)
			for place, hash := range grown {
				stored[first+int64(place)] = hash
			}
		}
	}
	root, err := tlog.TreeHash(e.tree.N, reader)
	if err == nil && root != e.tree.Hash {
		err = fmt.Errorf("the records do not have the root that was signed")
	}
	if err != nil {
		return err
	}
	return e.checkTiles(reader)
}

// readPruned takes what tiles say of the records that were pruned: the nodes to the left of the first one that is kept.
// Nothing vouches for them but the signed root, which they lead to.
func (e *export) readPruned(stored map[int64]tlog.Hash) error {
	for level := 1; e.Kept>>(height*level) > 0; level++ {
		nodes := e.Kept >> (height * level)
		count := int(nodes % width)
		if count == 0 {
			continue
		}
		tile := tlog.Tile{H: height, L: level, N: nodes / width, W: width}
		if rest := e.tree.N>>(height*level) - tile.N*width; rest < width {
			tile.W = int(rest)
		}
		content, err := e.tile(tile)
		if err != nil {
			return err
		}
		row := make([]tlog.Hash, count)
		for at := range row {
			copy(row[at][:], content[at*tlog.HashSize:])
		}
		for up := 0; len(row) > 0; up++ {
			first := tile.N * width >> up
			for at, hash := range row {
				stored[tlog.StoredHashIndex(height*level+up, first+int64(at))] = hash
			}
			var pairs []tlog.Hash
			for at := 0; at+1 < len(row); at += 2 {
				pairs = append(pairs, tlog.NodeHash(row[at], row[at+1]))
			}
			row = pairs
		}
	}
	return nil
}

// leafHashes returns the leaf hashes of a tile; where the records are here, each must be that of its record's bytes.
func (e *export) leafHashes(index int64) ([]tlog.Hash, error) {
	count := e.count(index)
	content, err := e.tile(tlog.Tile{H: height, L: 0, N: index, W: count})
	if err != nil {
		return nil, err
	}
	leaves := make([]tlog.Hash, count)
	for at := range leaves {
		copy(leaves[at][:], content[at*tlog.HashSize:])
	}
	if index*width < e.First || index*width >= e.End {
		return leaves, nil
	}
	entries, err := e.bundle(index)
	for at, entry := range entries {
		if tlog.RecordHash(entry) != leaves[at] {
			seq := index*width + int64(at)
			return nil, fmt.Errorf("record %d does not have the hash that the tree holds for it", seq)
		}
	}
	return leaves, err
}

// checkTiles compares every tile with the tree, level by level.
func (e *export) checkTiles(reader tlog.HashReader) error {
	for level, nodes := 0, e.tree.N; nodes > 0; level, nodes = level+1, nodes>>height {
		for index := int64(0); index*width < nodes; index++ {
			tile := tlog.Tile{H: height, L: level, N: index, W: width}
			if rest := nodes - index*width; rest < width {
				tile.W = int(rest)
			}
			if (index+1)<<(height*(level+1)) <= e.Kept {
				continue // pruned
			}
			expected, err := tlog.ReadTileData(tile, reader)
			if err != nil {
				return err
			}
			content, err := e.tile(tile)
			if err != nil {
				return err
			}
			if !bytes.Equal(content, expected) {
				return fmt.Errorf("tile %d/%d is not that of the records", level, index)
			}
		}
	}
	return nil
}

// checkProofs checks every proof file against the record that it names.
func (e *export) checkProofs() (int, error) {
	names, err := filepath.Glob(filepath.Join(e.folder, "proofs", "*.tlog-proof"))
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		if err := e.checkProof(name); err != nil {
			return 0, fmt.Errorf("%s: %w", filepath.Base(name), err)
		}
	}
	return len(names), nil
}

func (e *export) checkProof(name string) error {
	content, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	seq, proof, signed, err := parseProof(content)
	if err != nil {
		return err
	}
	if signed != e.checkpoint {
		return fmt.Errorf("not under the checkpoint of this export")
	}
	if seq < e.First || seq >= e.End {
		return fmt.Errorf("names no record of this export")
	}
	entries, err := e.bundle(seq / width)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(proof, e.tree.N, e.tree.Hash, seq, tlog.RecordHash(entries[seq%width]))
}

// parseProof reads a C2SP tlog-proof: place of the record, audit path, checkpoint.
func parseProof(content []byte) (seq int64, proof tlog.RecordProof, signed string, err error) {
	parts := strings.SplitN(string(content), "\n\n", 2)
	lines := strings.Split(parts[0], "\n")
	if len(parts) != 2 || len(lines) < 2 || lines[0] != proofHeader || !strings.HasPrefix(lines[1], "index ") {
		return 0, nil, "", fmt.Errorf("not a %s", proofHeader)
	}
	if seq, err = strconv.ParseInt(lines[1][len("index "):], 10, 64); err != nil {
		return 0, nil, "", fmt.Errorf("names no record")
	}
	for _, line := range lines[2:] {
		hash, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(hash) != tlog.HashSize {
			return 0, nil, "", fmt.Errorf("%q is no hash", line)
		}
		proof = append(proof, *(*tlog.Hash)(hash))
	}
	return seq, proof, parts[1], nil
}

func check(err error) {
	if err != nil {
		fail("NOT SOUND: " + err.Error())
	}
}

func fail(text string) {
	fmt.Println(text)
	os.Exit(1)
}
