// The node-opcua server of the foreign test: a dozen nodes, one a thousand wide, on 127.0.0.1.
// Usage: node server.js FOLDER NODES_PER_READ [CHANGING PERIOD_MS [PORT]]. Keeps its certificate in FOLDER; prints
// `ready PORT CERTIFICATE`. CHANGING nodes c0, c1 ... count up every PERIOD_MS. Trusts every application; lets in anybody,
// `operator` with the password `right horse`, and the users whose certificates lie in FOLDER/users/trusted/certs.
"use strict";

const fs = require("node:fs");
const net = require("node:net");
const path = require("node:path");
const { OPCUACertificateManager } = require("node-opcua-certificate-manager");
const { DataValue } = require("node-opcua-data-value");
const { nodesets } = require("node-opcua-nodesets");
const { OPCUAServer } = require("node-opcua-server");
const { MessageSecurityMode, SecurityPolicy } = require("node-opcua-secure-channel");
const { StatusCodes } = require("node-opcua-status-code");
const { DataType, Variant, VariantArrayType } = require("node-opcua-variant");

const SCALARS = {
    bool: [DataType.Boolean, true],
    int16: [DataType.Int16, -12345],
    uint16: [DataType.UInt16, 54321],
    int32: [DataType.Int32, -1234567890],
    uint32: [DataType.UInt32, 4000000000],
    int64: [DataType.Int64, [0xbfffffff, 0xffffffff]], // -2^62 - 1, high word first
    uint64: [DataType.UInt64, [0x80000000, 0x00000001]], // 2^63 + 1
    float32: [DataType.Float, 1.5],
    float64: [DataType.Double, -2.718281828459045],
};
const DOUBLES = 1000;
const SOURCE_TIME = new Date("2026-01-02T03:04:05.678Z");

async function freePort() {
    const probe = net.createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => probe.once("listening", resolve));
    const { port } = probe.address();
    await new Promise((resolve) => probe.close(resolve));
    return port;
}

async function main(folder, nodesPerRead, changing, periodMs, wantedPort) {
    const certificates = new OPCUACertificateManager({
        rootFolder: path.join(folder, "pki"),
        automaticallyAcceptUnknownCertificate: true,
    });
    await certificates.initialize();
    const users = new OPCUACertificateManager({ rootFolder: path.join(folder, "users") });
    await users.initialize();
    const port = wantedPort || (await freePort());
    const server = new OPCUAServer({
        port,
        host: "127.0.0.1",
        hostname: "127.0.0.1",
        nodeset_filename: [nodesets.standard],
        serverCertificateManager: certificates,
        userCertificateManager: users,
        userManager: { isValidUser: (user, password) => user === "operator" && password === "right horse" },
        securityModes: [MessageSecurityMode.None, MessageSecurityMode.Sign, MessageSecurityMode.SignAndEncrypt],
        securityPolicies: [
            SecurityPolicy.None,
            SecurityPolicy.Basic256Sha256,
            SecurityPolicy.Aes128_Sha256_RsaOaep,
            SecurityPolicy.Aes256_Sha256_RsaPss,
        ],
        serverCapabilities: { operationLimits: { maxNodesPerRead: nodesPerRead } },
    });
    await server.initialize();
    addNodes(server.engine.addressSpace);
    keepChanging(server.engine.addressSpace, changing, periodMs);
    await server.start();
    const file = path.join(folder, "server.der");
    fs.writeFileSync(file, server.getCertificate());
    console.log(`ready ${port} ${file}`);
}

function addNodes(addressSpace) {
    const namespace = addressSpace.registerNamespace("urn:gatewayd:test");
    const plant = namespace.addObject({ browseName: "plant", organizedBy: addressSpace.rootFolder.objects });
    const add = (name, dataType, options) =>
        namespace.addVariable({
            componentOf: plant,
            browseName: name,
            nodeId: `s=${name}`,
            dataType,
            minimumSamplingInterval: 100,
            ...options,
        });
    const fixed = (name, dataType, value, more = {}) =>
        add(name, dataType, {
            accessLevel: "CurrentRead",
            value: { timestamped_get: () => timed(dataType, value, more) },
        });
    for (const [name, [dataType, value]] of Object.entries(SCALARS)) {
        fixed(name, dataType, value);
        const writable = add(`${name}.set`, dataType, { accessLevel: "CurrentRead | CurrentWrite" });
        writable.setValueFromSource(scalar(dataType, value));
    }
    for (let number = 0; number < DOUBLES; number++) {
        add(`d${number}`, DataType.Double, {}).setValueFromSource({ dataType: DataType.Double, value: number });
    }
    namespace.addAnalogDataItem({
        componentOf: plant,
        browseName: "analog.set",
        nodeId: "s=analog.set",
        dataType: DataType.Double,
        engineeringUnitsRange: { low: 0, high: 200 },
        value: { dataType: DataType.Double, value: 100 },
    });
    fixed("pico", DataType.Double, 3.5, { sourcePicoseconds: 1230 });
    fixed("sick", DataType.Double, 1.0, { statusCode: StatusCodes.BadSensorFailure });
    fixed("text", DataType.String, "a string that is no number");
    fixed("label", DataType.LocalizedText, { locale: "en", text: "Pump" });
    add("array", DataType.Double, { valueRank: 1 }).setValueFromSource({
        dataType: DataType.Double,
        arrayType: VariantArrayType.Array,
        value: new Float64Array([1, 2, 3]),
    });
    addParts(addressSpace, add);
}

// Arrays that can be written element by element, and structures of the standard.
function addParts(addressSpace, add) {
    const rw = { accessLevel: "CurrentRead | CurrentWrite" };
    add("array.set", DataType.Double, { valueRank: 1, ...rw }).setValueFromSource({
        dataType: DataType.Double,
        arrayType: VariantArrayType.Array,
        value: new Float64Array([1, 2, 3]),
    });
    const matrix = { valueRank: 2, arrayDimensions: [2, 3], ...rw };
    add("matrix.set", DataType.Int32, matrix).setValueFromSource({
        dataType: DataType.Int32,
        arrayType: VariantArrayType.Matrix,
        dimensions: [2, 3],
        value: new Int32Array([11, 12, 13, 21, 22, 23]),
    });
    const range = addressSpace.findDataType("Range");
    const between = (low, high) => addressSpace.constructExtensionObject(range, { low, high });
    add("range", range.nodeId, {}).setValueFromSource({ dataType: DataType.ExtensionObject, value: between(-5, 95.5) });
    add("ranges", range.nodeId, { valueRank: 1 }).setValueFromSource({
        dataType: DataType.ExtensionObject,
        arrayType: VariantArrayType.Array,
        value: [between(1, 2), between(3, 4)],
    });
}

function keepChanging(addressSpace, count, periodMs) {
    if (!count) return;
    const namespace = addressSpace.getNamespace("urn:gatewayd:test");
    const folder = namespace.addObject({ browseName: "changing", organizedBy: addressSpace.rootFolder.objects });
    const nodes = Array.from({ length: count }, (_, number) =>
        namespace.addVariable({
            componentOf: folder,
            browseName: `c${number}`,
            nodeId: `s=c${number}`,
            dataType: DataType.Double,
        }),
    );
    let step = 0;
    const change = () => {
        step += 1;
        for (const node of nodes) node.setValueFromSource({ dataType: DataType.Double, value: step });
    };
    change();
    setInterval(change, periodMs);
}

// A 64-bit integer is an array of two words to node-opcua, which must be told that it is a scalar.
function scalar(dataType, value) {
    return new Variant({ dataType, arrayType: VariantArrayType.Scalar, value });
}

function timed(dataType, value, more) {
    return new DataValue({
        value: scalar(dataType, value),
        statusCode: StatusCodes.Good,
        sourceTimestamp: SOURCE_TIME,
        sourcePicoseconds: 0,
        ...more,
    });
}

main(process.argv[2], ...process.argv.slice(3).map(Number)).catch((error) => {
    console.error(error);
    process.exit(1);
});
