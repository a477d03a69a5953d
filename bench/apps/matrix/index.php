<?php
// Gives every request its number back.
$posted = $_SERVER['REQUEST_METHOD'] === 'POST';
$number = $posted ? file_get_contents('php://input') : substr($_SERVER['REQUEST_URI'], 1);
$text = json_encode(['number' => $number, 'worker' => getenv('NODESOCKD_WORKER_ID'), 'suspended' => false]);
header('Content-Type: application/json');
header('Content-Length: ' . strlen($text));
echo $text;
